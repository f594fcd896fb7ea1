"""An A/B test with groups of replicas, which serve one version each, and its results per user."""

from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e import calls
from tests.e2e.experiments.rollouts import PERCENT, Rollout
from tests.e2e.replicas.scene import (
    application,
    begin,
    create_flag,
    model_servers,
    stack_with_replicas,
)
from tidegate.model import FlagKey, VariantKey
from tidegate.v1 import report_service_pb2
from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.plan import (
    ExperimentKey,
    Goal,
    MetricName,
    Plan,
    QualityRules,
    Stage,
)
from tidegate_server.domain.experiments.records import Action
from tidegate_server.domain.experiments.state import Status

USERS, TURNS = 400, 2
PLAN = Plan(
    key=ExperimentKey("chat-v2"),
    flag=FlagKey("chat-model"),
    control=VariantKey("v1"),
    treatment=VariantKey("v2"),
    stages=(Stage("test", 50 * PERCENT, min_units=100, decide=True, replicas=True),),
    goal=Goal(MetricName("rating"), 0.05, planned_units=USERS),
    quality=QualityRules(burn_in=100, silence=timedelta(minutes=1)),
    interval=timedelta(seconds=1),
)


def test_users_stay_with_their_group_and_the_better_one_wins(tmp_path: Path) -> None:
    with stack_with_replicas(tmp_path) as stack:
        create_flag(stack.address, {"v1": {}, "v2": {}}, {"v1": 100, "v2": 0})
        with (
            model_servers(stack.address, a="v1 groups", b="v2 groups", c="v2 groups") as servers,
            application(stack.address) as app,
        ):
            rollout = Rollout(stack.address, PLAN)
            begin(rollout)
            rollout.until_status(Status.OBSERVING)
            app.wait_split(v1=50, v2=50)
            users = [f"user-{number}" for number in range(USERS)]
            answers = [each for _ in range(TURNS) for each in app.ask_all(users, threads=16)]
            assert app.client.flush(20)
            assert rollout.until_end().state.status is Status.SUCCEEDED
            report = calls.report(stack.address, "chat-model")
            decisions = [each.decision for each in rollout.decisions()]
        assert [each.loads for each in servers.values()] == [[], [], []]
    assert {each.reason for each in answers} == {"ASSIGNED"}
    assert all(each.ok and each.served == each.variant for each in answers)
    groups = defaultdict(set)
    for each in answers:
        groups[each.user].add(each.replica)
    assert {frozenset(group) <= {"a"} or group <= {"b", "c"} for group in groups.values()} == {True}
    treated = sum("a" not in group for group in groups.values())
    assert 0.38 * USERS < treated < 0.62 * USERS
    won = next(each for each in decisions if each.verdict is Verdict.WIN)
    assert (won.action, won.measured[0].metric) == (Action.PROMOTE, "rating")
    [rating] = [
        each.estimate
        for each in report.comparisons
        if each.outcome == "rating" and each.statistic == report_service_pb2.STATISTIC_MEAN
    ]
    assert rating.better == report_service_pb2.BETTER_TREATMENT
    assert rating.control == pytest.approx(4.0, abs=0.1)
    assert rating.treatment == pytest.approx(4.6, abs=0.1)
    # As many as there were in each group, but for the error of counting in little memory.
    assert rating.treatment_units == pytest.approx(treated, rel=0.05)
    assert rating.control_units == pytest.approx(USERS - treated, rel=0.05)
