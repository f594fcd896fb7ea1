"""The server, as the dashboard asks it: typed calls, and failures in plain words."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tidegate.v1 import (
    assignment_service_pb2,
    assignment_service_pb2_grpc,
    experiment_pb2,
    experiment_service_pb2,
    experiment_service_pb2_grpc,
    flag_pb2,
    flag_service_pb2,
    flag_service_pb2_grpc,
    report_service_pb2,
    report_service_pb2_grpc,
)
from tidegate_server.domain.experiments.requests import Command
from tidegate_server.errors import TidegateServerError

if TYPE_CHECKING:
    FlagStub = flag_service_pb2_grpc.FlagServiceAsyncStub
    AssignmentStub = assignment_service_pb2_grpc.AssignmentServiceAsyncStub
    ReportStub = report_service_pb2_grpc.ReportServiceAsyncStub
    ExperimentStub = experiment_service_pb2_grpc.ExperimentServiceAsyncStub

CALL_SECONDS = 5.0
"""How long one call may take."""

CLIENT_NAME = "tidegate dashboard"
"""By which the dashboards that watch a server are told from its SDKs."""

_NEEDS_STORE = flag_service_pb2.DESCRIPTOR.services_by_name["FlagService"].full_name

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # a snapshot can be large
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.enable_http_proxy", 0),
]

T = TypeVar("T")


class CallFailed(TidegateServerError):  # noqa: N818 - a state, as the server's own errors
    """A call failed. The message is the server's, or says that there is none.

    code: the status.
    """

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.code = code


class Api:
    """One server's services. Every call may raise CallFailed; needs a running loop.

    address: host:port.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        self._flags: FlagStub = flag_service_pb2_grpc.FlagServiceStub(self._channel)
        self._assignments: AssignmentStub = assignment_service_pb2_grpc.AssignmentServiceStub(
            self._channel
        )
        self._reports: ReportStub = report_service_pb2_grpc.ReportServiceStub(self._channel)
        self._experiments: ExperimentStub = experiment_service_pb2_grpc.ExperimentServiceStub(
            self._channel
        )

    async def close(self) -> None:
        """End all calls."""
        await self._channel.close()

    async def reaches_store(self) -> bool:
        """Tell whether the server can change flags, for which it needs its store."""
        request = health_pb2.HealthCheckRequest(service=_NEEDS_STORE)
        answer: health_pb2.HealthCheckResponse = await self._ask(
            self._health.Check(request, timeout=CALL_SECONDS)
        )
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def watch_flags(self) -> AsyncIterator[assignment_service_pb2.WatchFlagsResponse]:
        """Yield what the stream of flags says."""
        request = assignment_service_pb2.WatchFlagsRequest(client_name=CLIENT_NAME)
        return self._following(self._assignments.WatchFlags(request))

    def watch_experiments(
        self,
    ) -> AsyncIterator[experiment_service_pb2.WatchExperimentsResponse]:
        """Yield what the stream of experiments says."""
        request = experiment_service_pb2.WatchExperimentsRequest()
        return self._following(self._experiments.WatchExperiments(request))

    async def report(
        self, flag: str, *, control: str = "", phase: int = 0
    ) -> report_service_pb2.Report:
        """Return the report of a flag."""
        request = report_service_pb2.GetReportRequest(flag_key=flag, control=control, phase=phase)
        answer = await self._ask(self._reports.GetReport(request, timeout=CALL_SECONDS))
        return answer.report

    async def series(
        self,
        flag: str,
        resolution: "report_service_pb2.Resolution.ValueType",
        start: datetime,
    ) -> report_service_pb2.GetSeriesResponse:
        """Return what happened since `start`."""
        request = report_service_pb2.GetSeriesRequest(flag_key=flag, resolution=resolution)
        request.start_time.FromDatetime(start)
        return await self._ask(self._reports.GetSeries(request, timeout=CALL_SECONDS))

    async def distributions(
        self, flag: str, outcome: str, phase: int
    ) -> Sequence[report_service_pb2.Distribution]:
        """Return how an outcome's values lie under each variant."""
        request = report_service_pb2.GetDistributionRequest(
            flag_key=flag, outcome=outcome, phase=phase
        )
        answer = await self._ask(self._reports.GetDistribution(request, timeout=CALL_SECONDS))
        return answer.distributions

    async def revisions(self, flag: str, most: int) -> Sequence[flag_service_pb2.FlagRevision]:
        """Return what a flag said at its last revisions, the latest first."""
        request = flag_service_pb2.ListFlagRevisionsRequest(key=flag, page_size=most)
        answer = await self._ask(self._flags.ListFlagRevisions(request, timeout=CALL_SECONDS))
        return answer.revisions

    async def watchers(self) -> assignment_service_pb2.ListWatchersResponse:
        """Return who watches the process that answers."""
        request = assignment_service_pb2.ListWatchersRequest()
        return await self._ask(self._assignments.ListWatchers(request, timeout=CALL_SECONDS))

    async def looks(self, experiment: str, after_ms: int) -> Sequence[experiment_pb2.Look]:
        """Return what an experiment's looks saw after a time, thinned where there are many."""
        request = experiment_service_pb2.ListLooksRequest(key=experiment, after_ms=after_ms)
        answer = await self._ask(self._experiments.ListLooks(request, timeout=CALL_SECONDS))
        return answer.looks

    async def decisions(
        self, experiment: str, after: int
    ) -> experiment_service_pb2.ListDecisionsResponse:
        """Return an experiment's decisions above a number."""
        request = experiment_service_pb2.ListDecisionsRequest(
            key=experiment, after=after, page_size=1_000
        )
        return await self._ask(self._experiments.ListDecisions(request, timeout=CALL_SECONDS))

    async def preview_split(
        self, flag: str, split: Sequence[flag_pb2.SplitShare]
    ) -> flag_service_pb2.PreviewSplitResponse:
        """Return what another split would move."""
        request = flag_service_pb2.PreviewSplitRequest(key=flag, split=split)
        return await self._ask(self._flags.PreviewSplit(request, timeout=CALL_SECONDS))

    async def update_split(
        self, flag: str, split: Sequence[flag_pb2.SplitShare], revision: int
    ) -> flag_service_pb2.UpdateSplitResponse:
        """Change a flag's split, if it still is at `revision`."""
        request = flag_service_pb2.UpdateSplitRequest(key=flag, split=split, revision=revision)
        return await self._ask(self._flags.UpdateSplit(request, timeout=CALL_SECONDS))

    async def update_flag(self, flag: flag_pb2.Flag) -> flag_pb2.Flag:
        """Replace what a flag says, if it still is at the revision that `flag` names."""
        request = flag_service_pb2.UpdateFlagRequest(flag=flag)
        return (await self._ask(self._flags.UpdateFlag(request, timeout=CALL_SECONDS))).flag

    async def command(self, experiment: str, command: Command) -> None:
        """Ask something of an experiment."""
        name = command.request.title()
        kind = getattr(experiment_service_pb2, f"{name}ExperimentRequest")
        request = kind(key=experiment, actor=command.actor, why=command.why)
        call = getattr(self._experiments, f"{name}Experiment")
        await self._ask(call(request, timeout=CALL_SECONDS))

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise self._explained(error) from error

    async def _following(self, call: Any) -> AsyncIterator[Any]:
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._explained(error) from error
        finally:
            call.cancel()

    def _explained(self, error: grpc.aio.AioRpcError) -> CallFailed:
        code, details = error.code(), error.details() or ""
        connected = self._channel.get_state() is grpc.ChannelConnectivity.READY
        if code is grpc.StatusCode.UNAVAILABLE and not connected:
            details = f"the server at {self.address} does not answer"
        elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
            details = f"the server at {self.address} took longer than {CALL_SECONDS:.0f} s"
        return CallFailed(details or code.name, code)
