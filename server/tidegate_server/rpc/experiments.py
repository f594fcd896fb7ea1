"""ExperimentService: administration of experiments, and the stream of what they do."""

from collections.abc import Mapping
from typing import TypeAlias

from tidegate.model import FlagKey
from tidegate.v1 import experiment_pb2, experiment_service_pb2_grpc
from tidegate.v1 import experiment_service_pb2 as messages
from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.errors import InvalidField
from tidegate_server.rpc.errors import Context
from tidegate_server.rpc.pages import page, page_size
from tidegate_server.services.experiment_feed import ExperimentFeed
from tidegate_server.services.experiments import Experiments
from tidegate_server.wire.experiments import (
    decision_to_message,
    experiment_to_message,
    look_to_message,
    read_plan,
)

MOST_LOOKS, DEFAULT_LOOKS = 10_000, 1_000

Asked: TypeAlias = (
    messages.StartExperimentRequest
    | messages.PauseExperimentRequest
    | messages.ResumeExperimentRequest
    | messages.ApproveExperimentRequest
    | messages.SkipExperimentRequest
    | messages.AbortExperimentRequest
    | messages.PromoteExperimentRequest
    | messages.RetryExperimentRequest
)


class ExperimentServicer(experiment_service_pb2_grpc.ExperimentServiceServicer):
    """Translates ExperimentService's messages; errors become statuses in `StatusInterceptor`."""

    def __init__(
        self, experiments: Experiments, feed: ExperimentFeed, heartbeat_seconds: float
    ) -> None:
        self._experiments = experiments
        self._feed = feed
        self._heartbeat_seconds = heartbeat_seconds

    async def CreateExperiment(
        self, request: messages.CreateExperimentRequest, context: Context
    ) -> messages.CreateExperimentResponse:
        """Create an experiment as a draft."""
        created = await self._experiments.create(*read_plan(request.plan))
        return messages.CreateExperimentResponse(experiment=experiment_to_message(created))

    async def ValidateExperiment(
        self, request: messages.ValidateExperimentRequest, context: Context
    ) -> messages.ValidateExperimentResponse:
        """Tell everything that is wrong with a plan."""
        found = await self._experiments.validate(*read_plan(request.plan))
        return messages.ValidateExperimentResponse(
            problems=[
                messages.FieldProblem(field=each.field, problem=each.problem) for each in found
            ]
        )

    async def GetExperiment(
        self, request: messages.GetExperimentRequest, context: Context
    ) -> messages.GetExperimentResponse:
        """Read one experiment."""
        found = await self._experiments.get(ExperimentKey(request.key))
        return messages.GetExperimentResponse(experiment=experiment_to_message(found))

    async def ListExperiments(
        self, request: messages.ListExperimentsRequest, context: Context
    ) -> messages.ListExperimentsResponse:
        """List experiments by key."""
        flag = FlagKey(request.flag_key) if request.flag_key else None
        found = {each.plan.key: each for each in await self._experiments.list(flag)}
        keys, next_page_token = page(found, request.page_size, request.page_token)
        return messages.ListExperimentsResponse(
            experiments=[experiment_to_message(found[key]) for key in keys],
            next_page_token=next_page_token,
        )

    async def DeleteExperiment(
        self, request: messages.DeleteExperimentRequest, context: Context
    ) -> messages.DeleteExperimentResponse:
        """Delete a draft, or an experiment that has ended."""
        await self._experiments.delete(ExperimentKey(request.key))
        return messages.DeleteExperimentResponse()

    async def StartExperiment(
        self, request: messages.StartExperimentRequest, context: Context
    ) -> messages.StartExperimentResponse:
        """Start a draft."""
        return messages.StartExperimentResponse(experiment=await self._ask(Request.START, request))

    async def PauseExperiment(
        self, request: messages.PauseExperimentRequest, context: Context
    ) -> messages.PauseExperimentResponse:
        """Stop going on."""
        return messages.PauseExperimentResponse(experiment=await self._ask(Request.PAUSE, request))

    async def ResumeExperiment(
        self, request: messages.ResumeExperimentRequest, context: Context
    ) -> messages.ResumeExperimentResponse:
        """Go on after a pause."""
        return messages.ResumeExperimentResponse(
            experiment=await self._ask(Request.RESUME, request)
        )

    async def ApproveExperiment(
        self, request: messages.ApproveExperimentRequest, context: Context
    ) -> messages.ApproveExperimentResponse:
        """Approve of leaving a stage."""
        return messages.ApproveExperimentResponse(
            experiment=await self._ask(Request.APPROVE, request)
        )

    async def SkipExperiment(
        self, request: messages.SkipExperimentRequest, context: Context
    ) -> messages.SkipExperimentResponse:
        """Skip what is waited for."""
        return messages.SkipExperimentResponse(experiment=await self._ask(Request.SKIP, request))

    async def AbortExperiment(
        self, request: messages.AbortExperimentRequest, context: Context
    ) -> messages.AbortExperimentResponse:
        """End it: back to control."""
        return messages.AbortExperimentResponse(experiment=await self._ask(Request.ABORT, request))

    async def PromoteExperiment(
        self, request: messages.PromoteExperimentRequest, context: Context
    ) -> messages.PromoteExperimentResponse:
        """Give the treatment everything now."""
        return messages.PromoteExperimentResponse(
            experiment=await self._ask(Request.PROMOTE, request)
        )

    async def RetryExperiment(
        self, request: messages.RetryExperimentRequest, context: Context
    ) -> messages.RetryExperimentResponse:
        """Start it once more after it has failed."""
        return messages.RetryExperimentResponse(experiment=await self._ask(Request.RETRY, request))

    async def WatchExperiments(  # type: ignore[override] # it writes by itself, as WatchFlags does
        self, request: messages.WatchExperimentsRequest, context: Context
    ) -> None:
        """Send all experiments, then changes, and heartbeats between them.

        A watcher that does not read holds up its own stream only. When it reads again it is given
        what it missed, or everything anew.
        """
        feed, watcher = self._feed, _Watcher(request.key, context)
        epoch, position = 0, 0
        await feed.ready.wait()
        while not feed.closed:
            changes = await feed.changes_after(position, epoch, self._heartbeat_seconds)
            if feed.closed:
                return
            if changes is None:
                epoch, position = feed.epoch, feed.position
                await watcher.send_all(dict(feed.experiments))
            elif changes:
                position += len(changes)
                for change in changes:
                    await watcher.send(change.key, change.experiment)
            else:
                await context.write(messages.WatchExperimentsResponse(heartbeat=True))

    async def ListDecisions(
        self, request: messages.ListDecisionsRequest, context: Context
    ) -> messages.ListDecisionsResponse:
        """List decisions, oldest first."""
        size = page_size(request.page_size)
        if request.after < 0:
            raise InvalidField("after", f"{request.after}; give 0 or more")
        key = ExperimentKey(request.key)
        found = await self._experiments.decisions(key, request.after, size + 1)
        return messages.ListDecisionsResponse(
            decisions=map(decision_to_message, found[:size]), more=len(found) > size
        )

    async def ListLooks(
        self, request: messages.ListLooksRequest, context: Context
    ) -> messages.ListLooksResponse:
        """List what looks saw, oldest first."""
        if not 0 <= request.most <= MOST_LOOKS:
            raise InvalidField("most", f"{request.most}; give 1 to {MOST_LOOKS:,}")
        if request.after_ms < 0:
            raise InvalidField("after_ms", f"{request.after_ms}; give 0 or more")
        found = await self._experiments.looks(
            ExperimentKey(request.key), request.after_ms, request.most or DEFAULT_LOOKS
        )
        return messages.ListLooksResponse(looks=map(look_to_message, found))

    async def _ask(self, kind: Request, request: Asked) -> experiment_pb2.Experiment:
        asked = Command(kind, request.actor, request.why)
        key = ExperimentKey(request.key)
        return experiment_to_message(await self._experiments.ask(key, asked, request.version))


class _Watcher:
    """One stream. only: the key that it is about; empty: all."""

    def __init__(self, only: str, context: Context) -> None:
        self._only = only
        self._context = context
        self._sent: set[ExperimentKey] = set()

    async def send_all(self, known: Mapping[ExperimentKey, Experiment]) -> None:
        """Send all that there is, and what of that which was sent is there no more."""
        for key, experiment in known.items():
            await self.send(key, experiment)
        for key in self._sent - known.keys():
            await self.send(key, None)
        await self._context.write(messages.WatchExperimentsResponse(complete=True))

    async def send(self, key: ExperimentKey, experiment: Experiment | None) -> None:
        """Send one experiment, or that it was deleted, to those whom it concerns."""
        if self._only not in ("", key):
            return
        response = messages.WatchExperimentsResponse()
        if experiment is not None:
            self._sent.add(key)
            response.experiment.CopyFrom(experiment_to_message(experiment))
        elif key in self._sent:
            self._sent.remove(key)
            response.deleted_key = key
        else:
            return
        await self._context.write(response)
