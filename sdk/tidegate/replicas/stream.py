"""Follows the replicas of one flag: those that take traffic, by version."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import grpc

from tidegate.following import Call, Following
from tidegate.replicas.balance import KnownReplicas, Replica
from tidegate.v1 import replica_service_pb2, replica_service_pb2_grpc

log = logging.getLogger("tidegate")


class ReplicaStream(Following[replica_service_pb2.WatchReplicasResponse]):
    """Watches the replicas of a flag, once `start` was called.

    `asleep`: it has yet to be started in this process, which `wake` does.
    """

    def __init__(
        self,
        channel: Callable[[], grpc.Channel],
        address: str,
        flag: str,
        wake: Callable[[], None],
    ) -> None:
        self.known = KnownReplicas()
        self.flag = flag
        self.asleep = True
        self.wake = wake
        self._heard = threading.Event()
        super().__init__(channel, address, thread_name="tidegate-replicas", what="replicas")

    def start(self) -> None:
        """Begin to follow."""
        self.asleep = False
        super().start()

    def wait_heard(self, timeout: float | None) -> bool:
        """Wait until the server was heard; False if `timeout` (seconds) or the end came first."""
        self._heard.wait(timeout)
        return self.heard_at is not None

    def close(self, timeout: float) -> None:
        """Stop following."""
        super().close(timeout)
        self._heard.set()

    def after_fork(self) -> None:
        """Become a stream of the child: what is under way in the parent is not the child's."""
        super().after_fork()
        self.asleep = True
        self._heard = threading.Event()
        if self.heard_at is not None:
            self._heard.set()
        self.known.after_fork()

    def _open(
        self, channel: grpc.Channel, **how: Any
    ) -> Call[replica_service_pb2.WatchReplicasResponse]:
        stub = replica_service_pb2_grpc.ReplicaServiceStub(channel)
        request = replica_service_pb2.WatchReplicasRequest(flag_key=self.flag)
        return stub.WatchReplicas(request, **how)

    def _take(self, response: replica_service_pb2.WatchReplicasResponse) -> None:
        self._heartbeat_seconds = max(0.1, response.interval_ms / 1_000)
        ready = replica_service_pb2.REPLICA_STATE_READY
        self.known.update(
            Replica(
                each.id,
                each.address,
                each.variant,
                each.load,
                each.capacity,
                each.heartbeat_time.seconds + each.heartbeat_time.nanos / 1e9,
            )
            for each in response.replicas
            if each.state == ready and not each.drained and each.variant
        )
        self._outage_logged = False
        self._heard.set()

    def _lost(self) -> None:
        """Go on with the last known ones."""

    def _stopped(self) -> None:
        self._heard.set()

    def _log_outage(self, code: grpc.StatusCode, details: str) -> None:
        if code is grpc.StatusCode.UNIMPLEMENTED:
            log.error("%s does not know of replicas: update the Tidegate server", self._address)
        else:
            log.warning(
                "lost the replicas of flag %s (%s at %s: %s): going on with the last known ones",
                self.flag,
                code.name,
                self._address,
                details,
            )
