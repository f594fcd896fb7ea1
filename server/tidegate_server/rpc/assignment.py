"""AssignmentService: assignment for those without an SDK, and the stream of flags for SDKs."""

import os
import socket

import grpc
import structlog

from tidegate import wire
from tidegate.explanation import explain
from tidegate.model import Change, Reason, Revision, Snapshot
from tidegate.v1 import assignment_service_pb2
from tidegate_server.errors import InvalidField
from tidegate_server.rpc.errors import Context, Handler
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.watchers import Watcher, Watchers

log = structlog.get_logger(__name__)

SERVICE = "tidegate.v1.AssignmentService"
MOST_UNITS = 100_000
LONGEST_UNIT_ID = 1_000


class AssignmentServicer:
    """Evaluates with the SDK's own code, and streams flags.

    What watchers are sent is serialised once for all of them, as bytes.
    environment: the name of what `feed` follows.
    """

    def __init__(
        self, feed: ConfigFeed, heartbeat_seconds: float, watchers: Watchers, environment: str
    ) -> None:
        self._feed = feed
        self._watchers = watchers
        self._environment = environment
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._heartbeat_seconds = heartbeat_seconds
        self._encoded_snapshot: tuple[Snapshot, bytes] | None = None
        self._encoded_change: tuple[Change, bytes] | None = None

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the service; by hand, because WatchFlags sends ready bytes."""
        messages = assignment_service_pb2
        handlers: dict[str, Handler] = {
            "Assign": grpc.unary_unary_rpc_method_handler(
                self.Assign,
                messages.AssignRequest.FromString,
                messages.AssignResponse.SerializeToString,
            ),
            "BatchAssign": grpc.unary_unary_rpc_method_handler(
                self.BatchAssign,
                messages.BatchAssignRequest.FromString,
                messages.BatchAssignResponse.SerializeToString,
            ),
            "Explain": grpc.unary_unary_rpc_method_handler(
                self.Explain,
                messages.ExplainRequest.FromString,
                messages.ExplainResponse.SerializeToString,
            ),
            "WatchFlags": grpc.unary_stream_rpc_method_handler(
                self.WatchFlags, messages.WatchFlagsRequest.FromString
            ),
            "ListWatchers": grpc.unary_unary_rpc_method_handler(
                self.ListWatchers,
                messages.ListWatchersRequest.FromString,
                messages.ListWatchersResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def Assign(
        self, request: assignment_service_pb2.AssignRequest, context: Context
    ) -> assignment_service_pb2.AssignResponse:
        """Assign one unit."""
        _check_unit("unit_id", request.unit_id)
        assignment = self._feed.compiled.evaluate(
            request.flag_key, request.unit_id, wire.attributes_from_struct(request.attributes)
        )
        return assignment_service_pb2.AssignResponse(
            assignment=wire.assignment_to_message(assignment)
        )

    async def BatchAssign(
        self, request: assignment_service_pb2.BatchAssignRequest, context: Context
    ) -> assignment_service_pb2.BatchAssignResponse:
        """Assign many units with the same attributes."""
        if not 1 <= len(request.unit_ids) <= MOST_UNITS:
            raise InvalidField(
                "unit_ids", f"there are {len(request.unit_ids)}; give 1 to {MOST_UNITS:,} a call"
            )
        attributes = wire.attributes_from_struct(request.attributes)
        compiled = self._feed.compiled
        response = assignment_service_pb2.BatchAssignResponse()
        places: dict[tuple[str, Reason, str], int] = {}
        for index, unit_id in enumerate(request.unit_ids):
            _check_unit(f"unit_ids[{index}]", unit_id)
            assignment = compiled.evaluate(request.flag_key, unit_id, attributes)
            identity = (assignment.variant, assignment.reason, assignment.rule)
            if identity not in places:
                places[identity] = len(places)
                response.assignments.append(wire.assignment_to_message(assignment))
            response.assignment_indexes.append(places[identity])
        return response

    async def Explain(
        self, request: assignment_service_pb2.ExplainRequest, context: Context
    ) -> assignment_service_pb2.ExplainResponse:
        """Tell every step of an assignment, at the present or an earlier revision."""
        _check_unit("unit_id", request.unit_id)
        if request.revision < 0:
            raise InvalidField("revision", f"{request.revision}; give 1 or more, or 0 for now")
        explanation = explain(
            await self._feed.compiled_at(request.revision),
            request.flag_key,
            request.unit_id,
            wire.attributes_from_struct(request.attributes),
        )
        return wire.explanation_to_message(explanation)

    async def WatchFlags(
        self, request: assignment_service_pb2.WatchFlagsRequest, context: Context
    ) -> None:
        """Send a snapshot, then changes, and heartbeats between them, as serialized messages.

        Each write waits for the watcher's flow control: for one that does not read gRPC keeps what
        its window takes and one message more. When it reads again it is given what it missed, or a
        snapshot.
        """
        log.debug("watcher_came", client_name=request.client_name)
        await self._feed.ready.wait()
        with self._watchers.one_more(request.client_name) as watcher:
            await self._watch(watcher, context)

    async def _watch(self, watcher: Watcher, context: Context) -> None:
        epoch, revision = 0, Revision(0)
        while not self._feed.closed:
            watcher.revision = revision
            changes = await self._feed.changes_after(revision, epoch, self._heartbeat_seconds)
            if self._feed.closed:
                return
            if changes is None:
                epoch, snapshot = self._feed.epoch, self._feed.snapshot
                revision = snapshot.revision
                await context.write(self._encode_snapshot(snapshot))
            elif changes:
                revision = changes[-1].revision
                for change in changes:
                    await context.write(self._encode_change(change))
            else:
                await context.write(self._encode_heartbeat(revision))

    async def ListWatchers(
        self, request: assignment_service_pb2.ListWatchersRequest, context: Context
    ) -> assignment_service_pb2.ListWatchersResponse:
        """Count those who watch this process, by what they were last sent."""
        return assignment_service_pb2.ListWatchersResponse(
            environment=self._environment,
            process=self._process,
            revision=self._feed.snapshot.revision,
            groups=[
                assignment_service_pb2.WatcherGroup(
                    client_name=name, revision=revision, count=count
                )
                for (revision, name), count in self._watchers.counts().items()
            ],
        )

    def _encode_snapshot(self, snapshot: Snapshot) -> bytes:
        if self._encoded_snapshot is None or self._encoded_snapshot[0] is not snapshot:
            message = assignment_service_pb2.WatchFlagsResponse(
                snapshot=wire.snapshot_to_message(snapshot)
            )
            self._encoded_snapshot = snapshot, message.SerializeToString()
        return self._encoded_snapshot[1]

    def _encode_change(self, change: Change) -> bytes:
        if self._encoded_change is None or self._encoded_change[0] is not change:
            message = assignment_service_pb2.WatchFlagsResponse(
                change=wire.change_to_message(change)
            )
            self._encoded_change = change, message.SerializeToString()
        return self._encoded_change[1]

    def _encode_heartbeat(self, revision: Revision) -> bytes:
        heartbeat = assignment_service_pb2.Heartbeat(
            revision=revision, interval_ms=round(self._heartbeat_seconds * 1_000)
        )
        return assignment_service_pb2.WatchFlagsResponse(heartbeat=heartbeat).SerializeToString()


def _check_unit(field: str, unit_id: str) -> None:
    if not 1 <= len(unit_id) <= LONGEST_UNIT_ID:
        raise InvalidField(field, f"has {len(unit_id):,} characters; give 1 to {LONGEST_UNIT_ID:,}")
