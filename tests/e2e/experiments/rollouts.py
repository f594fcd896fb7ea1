"""Experiments in real processes, and what must hold of their log."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise

import grpc

from tests.e2e.calls import SECONDS, split_messages
from tidegate.model import PPM, FlagKey, VariantKey
from tidegate.v1 import (
    experiment_service_pb2,
    experiment_service_pb2_grpc,
    flag_pb2,
    flag_service_pb2,
    flag_service_pb2_grpc,
)
from tidegate_server.domain.experiments.plan import (
    Ceiling,
    ExperimentKey,
    MetricName,
    Plan,
    QualityRules,
    Stage,
)
from tidegate_server.domain.experiments.records import Action, Experiment, NumberedDecision
from tidegate_server.domain.experiments.state import ENDED, Status
from tidegate_server.wire.experiments import (
    decision_from_message,
    experiment_from_message,
    plan_to_message,
)

PERCENT = PPM // 100
SECOND = timedelta(seconds=1)
KEY = ExperimentKey("chat-v2")
PLAN = Plan(
    key=KEY,
    flag=FlagKey("chat-model"),
    control=VariantKey("v1"),
    treatment=VariantKey("v2"),
    stages=(
        Stage("canary", 10 * PERCENT, bake=2 * SECOND, min_units=1),
        Stage("half", 50 * PERCENT, bake=SECOND, min_units=1),
    ),
    guardrails=(Ceiling(MetricName("error"), 0.5, window=10 * SECOND, least_events=10),),
    quality=QualityRules(silence=20 * SECOND),
    interval=SECOND,
)
"""Through in some seven seconds."""


class Rollout:
    """One experiment, as a client of the server sees it."""

    def __init__(self, address: str, plan: Plan = PLAN) -> None:
        self.address, self.plan = address, plan

    def start(self, errors: float = 0.0) -> None:
        """Create flag and experiment, and start it. errors: part of the treatment's requests."""
        flag = flag_pb2.Flag(
            key=self.plan.flag,
            variants=[flag_pb2.Variant(key="v1"), flag_pb2.Variant(key="v2")],
            default_variant="v1",
            split=split_messages({"v1": 100, "v2": 0}),
        )
        flag.variants[1].value.update({"error": errors})
        with grpc.insecure_channel(self.address) as channel:
            request = flag_service_pb2.CreateFlagRequest(flag=flag)
            flags = flag_service_pb2_grpc.FlagServiceStub(channel)
            flags.CreateFlag(request, timeout=SECONDS, wait_for_ready=True)
        with self._stub() as stub:
            create = experiment_service_pb2.CreateExperimentRequest(plan=plan_to_message(self.plan))
            stub.CreateExperiment(create, timeout=SECONDS, wait_for_ready=True)
            start = experiment_service_pb2.StartExperimentRequest(key=self.plan.key, actor="anna")
            stub.StartExperiment(start, timeout=SECONDS, wait_for_ready=True)

    def until(self, reached: Callable[[Experiment], bool]) -> Experiment:
        """Watch until an experiment is as it should be; the test's time limit ends it otherwise."""
        while True:
            try:
                with self._stub() as stub:
                    request = experiment_service_pb2.WatchExperimentsRequest(key=self.plan.key)
                    for message in stub.WatchExperiments(request, wait_for_ready=True):
                        if message.HasField("experiment"):
                            found = experiment_from_message(message.experiment)
                            if reached(found):
                                return found
            except grpc.RpcError:
                time.sleep(0.05)  # the server is away

    def until_status(self, *statuses: Status) -> Experiment:
        """Watch until the experiment is in one of these."""
        return self.until(lambda found: found.state.status in statuses)

    def until_end(self) -> Experiment:
        """Watch until the end."""
        return self.until(lambda found: found.state.status in ENDED)

    def decisions(self) -> list[NumberedDecision]:
        """Return the whole log."""
        with self._stub() as stub:
            request = experiment_service_pb2.ListDecisionsRequest(key=self.plan.key, page_size=1000)
            found = stub.ListDecisions(request, timeout=SECONDS, wait_for_ready=True)
        return [decision_from_message(each) for each in found.decisions]

    def treatment_ppm(self) -> int:
        """Return the treatment's share in the flag's split."""
        with grpc.insecure_channel(self.address) as channel:
            flags = flag_service_pb2_grpc.FlagServiceStub(channel)
            request = flag_service_pb2.GetFlagRequest(key=self.plan.flag)
            split = flags.GetFlag(request, timeout=SECONDS, wait_for_ready=True).flag.split
        return sum(each.share_ppm for each in split if each.variant == self.plan.treatment)

    @contextmanager
    def _stub(self) -> Iterator[experiment_service_pb2_grpc.ExperimentServiceStub]:
        with grpc.insecure_channel(self.address) as channel:
            yield experiment_service_pb2_grpc.ExperimentServiceStub(channel)


def check_log(plan: Plan, decisions: Sequence[NumberedDecision]) -> None:
    """Check that nothing was decided twice, nothing is missing, and no stage came early."""
    assert [each.number for each in decisions] == list(range(1, len(decisions) + 1))
    revisions = [each.revision for each in decisions if each.revision]
    assert revisions == sorted(set(revisions)), "each change of split is a revision of its own"
    made = [each.decision for each in decisions]
    for former, later in pairwise(made):
        assert later.before.status is former.after.status, "each begins where the last one ended"
        assert later.time >= former.time
    phases = [each.decision.phase for each in decisions]
    begun = [each.revision or each.decision.phase for each in decisions]
    assert phases[1:] == begun[:-1], "each new split begins a phase"
    entered: dict[str, datetime] = {}
    for each in made:
        if each.action is Action.ENTER:
            assert each.stage not in entered or each.before.stage == each.after.stage
            entered[each.stage] = each.time
        if each.action in (Action.ADVANCE, Action.PROMOTE):
            [stage] = [stage for stage in plan.stages if stage.name == each.stage]
            assert each.before.share_ppm == stage.share_ppm
            assert each.after.stage >= each.before.stage
            assert each.time - entered[each.stage] >= stage.bake
