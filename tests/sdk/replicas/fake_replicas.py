"""A real ReplicaService on 127.0.0.1 whose behaviour a test scripts."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc

from tests.sdk.fake_server import FakeServer, snapshot
from tests.sdk.flags import make_flag, make_snapshot
from tidegate.structs import struct_from_json
from tidegate.v1 import replica_service_pb2 as messages

READY, LOADING = messages.REPLICA_STATE_READY, messages.REPLICA_STATE_LOADING
FAILED, DRAINING = messages.REPLICA_STATE_FAILED, messages.REPLICA_STATE_DRAINING
QUICK_MS = 60_000
"""Interval that a test does not live to see the end of."""


def replica(name: str, variant: str = "v1", **more: Any) -> messages.Replica:
    given: dict[str, Any] = {
        "id": name,
        "flag_key": "chat-model",
        "variant": variant,
        "address": f"{name}:8000",
        "state": READY,
    }
    return messages.Replica(**given | more)


def told(
    *replicas: messages.Replica, interval_ms: int = QUICK_MS
) -> messages.WatchReplicasResponse:
    return messages.WatchReplicasResponse(replicas=replicas, interval_ms=interval_ms)


class FakeReplicas:
    """Sends to watchers what a test says, and keeps what agents say.

    `first`: what each new watch begins with; `watches`: how many there were. `known`: ids that
    registered; others are told NOT_FOUND. `registered`, `beats`, `gone`: what agents said, in
    order. `wanted`: variant and value (None: not known) that heartbeats are answered with.
    `refuses`: the status that calls of agents end with. `interval_ms`: of heartbeats.
    """

    def __init__(self) -> None:
        self.first: messages.WatchReplicasResponse | None = None
        self.watches = 0
        self.flags: list[str] = []
        self.known: set[str] = set()
        self.registered: list[messages.Replica] = []
        self.beats: list[messages.HeartbeatReplicaRequest] = []
        self.gone: list[str] = []
        self.wanted: tuple[str, Mapping[str, Any] | None] = ("", None)
        self.drained = False
        self.refuses: grpc.StatusCode | None = None
        self.interval_ms = 20
        self._scripts: list[queue.Queue[messages.WatchReplicasResponse | None]] = []
        self._seen = threading.Condition()

    def handler(self) -> grpc.GenericRpcHandler:
        unary = grpc.unary_unary_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            "tidegate.v1.ReplicaService",
            {
                "WatchReplicas": grpc.unary_stream_rpc_method_handler(
                    self._watch,
                    messages.WatchReplicasRequest.FromString,
                    messages.WatchReplicasResponse.SerializeToString,
                ),
                "RegisterReplica": unary(
                    self._register,
                    messages.RegisterReplicaRequest.FromString,
                    messages.RegisterReplicaResponse.SerializeToString,
                ),
                "HeartbeatReplica": unary(
                    self._beat,
                    messages.HeartbeatReplicaRequest.FromString,
                    messages.HeartbeatReplicaResponse.SerializeToString,
                ),
                "DeregisterReplica": unary(
                    self._deregister,
                    messages.DeregisterReplicaRequest.FromString,
                    messages.DeregisterReplicaResponse.SerializeToString,
                ),
            },
        )

    def send(self, response: messages.WatchReplicasResponse) -> None:
        """Send to all watchers, and begin later watches with it."""
        self.first = response
        for script in self._scripts:
            script.put(response)

    def end_watches(self) -> None:
        for script in self._scripts:
            script.put(None)

    def until(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until something that this server notices is so."""
        with self._seen:
            assert self._seen.wait_for(holds, seconds), "it did not come to pass"

    def _note(self) -> None:
        with self._seen:
            self._seen.notify_all()

    def _watch(
        self, request: messages.WatchReplicasRequest, context: grpc.ServicerContext
    ) -> Iterator[messages.WatchReplicasResponse]:
        script: queue.Queue[messages.WatchReplicasResponse | None] = queue.Queue()
        self._scripts.append(script)
        self.watches += 1
        self.flags.append(request.flag_key)
        self._note()
        if self.first is not None:
            yield self.first
        while context.is_active():
            try:
                item = script.get(timeout=0.1)
            except queue.Empty:
                continue
            if item is None:
                return
            yield item

    def _register(
        self, request: messages.RegisterReplicaRequest, context: grpc.ServicerContext
    ) -> messages.RegisterReplicaResponse:
        self._refuse(context)
        self.known.add(request.replica.id)
        self.registered.append(request.replica)
        self._note()
        return messages.RegisterReplicaResponse(
            replica=request.replica, heartbeat_interval_ms=self.interval_ms
        )

    def _beat(
        self, request: messages.HeartbeatReplicaRequest, context: grpc.ServicerContext
    ) -> messages.HeartbeatReplicaResponse:
        self._refuse(context)
        if request.id not in self.known:
            context.abort(grpc.StatusCode.NOT_FOUND, "as the test says")
        self.beats.append(request)
        self._note()
        variant, value = self.wanted
        answer = messages.Replica(id=request.id, wanted_variant=variant, drained=self.drained)
        return messages.HeartbeatReplicaResponse(
            replica=answer, wanted_value=None if value is None else struct_from_json(value)
        )

    def _deregister(
        self, request: messages.DeregisterReplicaRequest, context: grpc.ServicerContext
    ) -> messages.DeregisterReplicaResponse:
        self._refuse(context)
        self.gone.append(request.id)
        self._note()
        return messages.DeregisterReplicaResponse()

    def _refuse(self, context: grpc.ServicerContext) -> None:
        if self.refuses is not None:
            context.abort(self.refuses, "as the test says")


@contextmanager
def fake_replicas() -> Iterator[tuple[FakeServer, FakeReplicas]]:
    """Run a server with the flag chat-model, which gives everybody v2, and with replicas."""
    server, replicas = FakeServer(), FakeReplicas()
    server.first = [snapshot(make_snapshot(make_flag(shares=(0, 100)), revision=4))]
    server.more.append(replicas.handler())
    server.start()
    try:
        yield server, replicas
    finally:
        if server._server is not None:
            server.stop()
