"""ReplicaService: replicas register and are heard; clients watch them."""

import grpc

from tidegate.model import FlagKey, VariantKey
from tidegate.structs import struct_from_json
from tidegate.v1 import replica_service_pb2
from tidegate_server.domain.replicas.replica import Fleet, Policy, ReplicaId, Report
from tidegate_server.rpc.errors import Context, Handler
from tidegate_server.rpc.pages import page
from tidegate_server.services.replica_feed import ReplicaFeed
from tidegate_server.services.replicas import Replicas
from tidegate_server.wire.replicas import (
    replica_from_message,
    replica_to_message,
    state_from_number,
)

SERVICE = "tidegate.v1.ReplicaService"


class ReplicaServicer:
    """Translates ReplicaService's messages; errors become statuses in `StatusInterceptor`.

    What the watchers of a flag are sent is serialised once for all of them, as bytes.
    """

    def __init__(self, replicas: Replicas, feed: ReplicaFeed, policy: Policy) -> None:
        self._replicas = replicas
        self._feed = feed
        self._policy = policy
        self._seconds = policy.heartbeat.total_seconds()
        self._encoded: tuple[Fleet, dict[str, bytes]] = (feed.fleet, {})

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the service; by hand, because WatchReplicas sends ready bytes."""
        messages = replica_service_pb2
        handlers: dict[str, Handler] = {
            "RegisterReplica": grpc.unary_unary_rpc_method_handler(
                self.RegisterReplica,
                messages.RegisterReplicaRequest.FromString,
                messages.RegisterReplicaResponse.SerializeToString,
            ),
            "HeartbeatReplica": grpc.unary_unary_rpc_method_handler(
                self.HeartbeatReplica,
                messages.HeartbeatReplicaRequest.FromString,
                messages.HeartbeatReplicaResponse.SerializeToString,
            ),
            "DrainReplica": grpc.unary_unary_rpc_method_handler(
                self.DrainReplica,
                messages.DrainReplicaRequest.FromString,
                messages.DrainReplicaResponse.SerializeToString,
            ),
            "DeregisterReplica": grpc.unary_unary_rpc_method_handler(
                self.DeregisterReplica,
                messages.DeregisterReplicaRequest.FromString,
                messages.DeregisterReplicaResponse.SerializeToString,
            ),
            "ListReplicas": grpc.unary_unary_rpc_method_handler(
                self.ListReplicas,
                messages.ListReplicasRequest.FromString,
                messages.ListReplicasResponse.SerializeToString,
            ),
            "WatchReplicas": grpc.unary_stream_rpc_method_handler(
                self.WatchReplicas, messages.WatchReplicasRequest.FromString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def RegisterReplica(
        self, request: replica_service_pb2.RegisterReplicaRequest, context: Context
    ) -> replica_service_pb2.RegisterReplicaResponse:
        """Add a replica, or replace what is known of it."""
        stored = await self._replicas.register(replica_from_message(request.replica))
        return replica_service_pb2.RegisterReplicaResponse(
            replica=replica_to_message(stored, self._policy, stored.heard),
            heartbeat_interval_ms=round(self._seconds * 1_000),
        )

    async def HeartbeatReplica(
        self, request: replica_service_pb2.HeartbeatReplicaRequest, context: Context
    ) -> replica_service_pb2.HeartbeatReplicaResponse:
        """Note that a replica lives; tell which variant it shall load."""
        report = Report(
            state_from_number(request.state, "state"),
            VariantKey(request.variant),
            request.load,
            request.problem,
        )
        stored, value = await self._replicas.heartbeat(ReplicaId(request.id), report)
        return replica_service_pb2.HeartbeatReplicaResponse(
            replica=replica_to_message(stored, self._policy, stored.heard),
            wanted_value=None if value is None else struct_from_json(value),
        )

    async def DrainReplica(
        self, request: replica_service_pb2.DrainReplicaRequest, context: Context
    ) -> replica_service_pb2.DrainReplicaResponse:
        """Take a replica out of traffic, or put it back."""
        stored = await self._replicas.drain(ReplicaId(request.id), undo=request.undo)
        return replica_service_pb2.DrainReplicaResponse(
            replica=replica_to_message(stored, self._policy, stored.heard)
        )

    async def DeregisterReplica(
        self, request: replica_service_pb2.DeregisterReplicaRequest, context: Context
    ) -> replica_service_pb2.DeregisterReplicaResponse:
        """Forget a replica."""
        await self._replicas.deregister(ReplicaId(request.id))
        return replica_service_pb2.DeregisterReplicaResponse()

    async def ListReplicas(
        self, request: replica_service_pb2.ListReplicasRequest, context: Context
    ) -> replica_service_pb2.ListReplicasResponse:
        """List replicas by id, those that are gone too."""
        fleet = await self._replicas.load()
        found = {
            name: each
            for name, each in fleet.replicas.items()
            if request.flag_key in ("", each.flag)
        }
        names, next_page_token = page(found, request.page_size, request.page_token)
        return replica_service_pb2.ListReplicasResponse(
            replicas=[replica_to_message(found[name], self._policy, fleet.now) for name in names],
            next_page_token=next_page_token,
        )

    async def WatchReplicas(
        self, request: replica_service_pb2.WatchReplicasRequest, context: Context
    ) -> None:
        """Send a flag's replicas anew whenever they were read; nothing while the store is away."""
        feed, sent = self._feed, None
        with feed.watching():
            while not feed.closed:
                position, epoch = feed.position, feed.epoch
                if feed.ready.is_set() and feed.fleet is not sent:
                    sent = feed.fleet
                    await context.write(self._encode(sent, request.flag_key))
                await feed.changes_after(position, epoch, self._seconds)

    def _encode(self, fleet: Fleet, flag: str) -> bytes:
        if self._encoded[0] is not fleet:
            self._encoded = fleet, {}
        by_flag = self._encoded[1]
        if flag not in by_flag:
            living = [
                replica_to_message(each, self._policy, fleet.now)
                for each in fleet.of(FlagKey(flag))
                if self._policy.lives(each, fleet.now)
            ]
            by_flag[flag] = replica_service_pb2.WatchReplicasResponse(
                replicas=living, interval_ms=round(self._seconds * 1_000)
            ).SerializeToString()
        return by_flag[flag]
