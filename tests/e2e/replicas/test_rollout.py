"""A gradual rollout over replicas: a bad version goes back, a good one through."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.e2e.experiments.rollouts import PERCENT, PLAN, SECOND, Rollout
from tests.e2e.replicas.scene import (
    application,
    begin,
    create_flag,
    model_servers,
    serving,
    stack_with_replicas,
    watch_serving,
)
from tidegate.model import VariantKey
from tidegate_server.domain.experiments.plan import ExperimentKey, Stage
from tidegate_server.domain.experiments.records import Action
from tidegate_server.domain.experiments.state import Status

CANARY = Stage("canary", 30 * PERCENT, bake=10 * SECOND, min_units=20, replicas=True)
MOST = Stage("most", 60 * PERCENT, min_units=1, replicas=True)
BAD = replace(PLAN, stages=(CANARY, MOST))
GOOD = replace(
    PLAN,
    key=ExperimentKey("chat-v3"),
    treatment=VariantKey("v3"),
    stages=(replace(CANARY, bake=SECOND), MOST),
)


def test_a_bad_version_goes_back_and_a_good_one_goes_through(tmp_path: Path) -> None:
    values = {"v1": {}, "v2": {"fails": True}, "v3": {}}
    with stack_with_replicas(tmp_path) as stack:
        create_flag(stack.address, values, {"v1": 100, "v2": 0, "v3": 0})
        with (
            model_servers(stack.address, a="v1", b="v1", c="v1") as servers,
            application(stack.address) as app,
            app.busy(),
        ):
            bad = Rollout(stack.address, BAD)
            begin(bad)
            ended = bad.until_end()
            assert ended.state.status is Status.ROLLED_BACK
            assert "error" in ended.state.reason
            seen = watch_serving(stack.address, lambda found: found == {"v1": 3})
            assert min(found["v1"] for found in seen) >= 2
            assert sorted(each.loads for each in servers.values()) == [[], [], ["v2", "v1"]]
            entered = [each.decision.action for each in bad.decisions()]
            assert entered.count(Action.ENTER) == 1

            good = Rollout(stack.address, GOOD)
            begin(good)
            assert good.until_end().state.status is Status.SUCCEEDED
            seen = watch_serving(stack.address, lambda found: found == {"v3": 3})
            assert min(found.total() for found in seen) >= 2
            assert Counter(variant for each in servers.values() for variant in each.loads) == {
                "v2": 1,
                "v1": 1,
                "v3": 3,
            }
        assert serving(stack.address) == {}
    # Whoever was assigned a version was served by it, from the first request on. (Where the news of
    # a rollback come after those of its replica, the fallback is asked.)
    reasons = Counter(each.reason for each in app.answers)
    assert reasons["ASSIGNED"] + reasons["FALLBACK"] == len(app.answers)
    assert reasons["FALLBACK"] < 0.02 * len(app.answers)
    assigned = [each for each in app.answers if each.reason == "ASSIGNED"]
    assert all(each.served in ("", each.variant) for each in assigned)
    assert {each.variant for each in assigned if not each.ok} == {"v2"}
