"""Controllers, server, worker and store killed at random while many rollouts are under way."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import grpc
import pytest

from tests.e2e.experiments.traffic import traffic
from tests.e2e.faults.roles import SERVER, STORE, WORKER, Roles, running_roles
from tests.e2e.faults.test_random_kills import SEED, carry_out, schedule
from tidegate.v1 import (
    experiment_pb2,
    experiment_service_pb2,
    experiment_service_pb2_grpc,
    flag_pb2,
    flag_service_pb2,
    flag_service_pb2_grpc,
)
from tidegate_server.cli.experiment_file import parse_experiment_file
from tidegate_server.wire.experiments import plan_to_message

CONTROLLERS = ("controller-1", "controller-2")
ROLES = (STORE, SERVER, WORKER, *CONTROLLERS)
CALL_SECONDS = 30.0
POLL_SECONDS = 0.2
END_SECONDS = 150.0
GOOD, BAD = {"error": 0.02}, {"error": 0.7}
UNITS_PER_SECOND = 20

ENDS = {
    experiment_pb2.EXPERIMENT_STATUS_SUCCEEDED: 1_000_000,
    experiment_pb2.EXPERIMENT_STATUS_ROLLED_BACK: 0,
    experiment_pb2.EXPERIMENT_STATUS_REJECTED: 0,
    experiment_pb2.EXPERIMENT_STATUS_ABORTED: 0,
}
"""The treatment's share at each end."""

PLAN = """
experiment: {key}
flag: {key}
control: v1
treatment: v2
guardrails:
  - {{metric: error, max: 30%, window: 10s, min_events: 20}}
quality: {{silence: 20s}}
lease: {{duration: 20s}}
stages:
  - {{name: canary, share: 20%, bake: 2s, min_units: 40, passes: 2}}
  - {{name: half, share: 50%, bake: 2s, passes: 2}}
  - {{name: full, share: 100%}}
watch: 2s
interval: 1s
"""


class Api:
    """The calls of this test; each waits for a server that is away, and is made again."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.flags = flag_service_pb2_grpc.FlagServiceStub(channel)
        self.experiments = experiment_service_pb2_grpc.ExperimentServiceStub(channel)

    def begin(self, key: str, treatment: Mapping[str, float]) -> None:
        """Create a flag, and start an experiment on it."""
        flag = flag_pb2.Flag(
            key=key,
            variants=[flag_pb2.Variant(key="v1"), flag_pb2.Variant(key="v2")],
            default_variant="v1",
            split=[flag_pb2.SplitShare(variant="v1", share_ppm=1_000_000)],
        )
        flag.variants[0].value.update(GOOD)
        flag.variants[1].value.update(treatment)
        self.flags.CreateFlag(
            flag_service_pb2.CreateFlagRequest(flag=flag), wait_for_ready=True, timeout=CALL_SECONDS
        )
        plan = plan_to_message(parse_experiment_file(key, PLAN.format(key=key)).plan)
        self.experiments.CreateExperiment(
            experiment_service_pb2.CreateExperimentRequest(plan=plan), timeout=CALL_SECONDS
        )
        self.experiments.StartExperiment(
            experiment_service_pb2.StartExperimentRequest(key=key, actor="chaos"),
            timeout=CALL_SECONDS,
        )

    def all(self) -> Sequence[experiment_pb2.Experiment]:
        """Return all experiments."""
        return self.experiments.ListExperiments(
            experiment_service_pb2.ListExperimentsRequest(page_size=1_000),
            wait_for_ready=True,
            timeout=CALL_SECONDS,
        ).experiments

    def log(self, key: str) -> Sequence[experiment_pb2.Decision]:
        """Return the whole log of an experiment."""
        return self.experiments.ListDecisions(
            experiment_service_pb2.ListDecisionsRequest(key=key, page_size=1_000),
            timeout=CALL_SECONDS,
        ).decisions

    def share(self, key: str) -> int:
        """Return the treatment's share of the flag itself."""
        flag = self.flags.GetFlag(flag_service_pb2.GetFlagRequest(key=key), timeout=CALL_SECONDS)
        return sum(each.share_ppm for each in flag.flag.split if each.variant == "v2")


@pytest.mark.parametrize(
    ("rollouts", "kills", "seconds"),
    [
        pytest.param(6, 10, 15, marks=pytest.mark.timeout(240)),
        pytest.param(50, 40, 60, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
    ids=["six", "fifty"],
)
def test_every_rollout_ends_as_its_treatment_deserves(
    tmp_path: Path, rollouts: int, kills: int, seconds: float
) -> None:
    keys = [f"rollout-{number}" for number in range(rollouts)]
    bad = set(keys[::3])
    drawn = schedule(SEED, kills, seconds, ROLES)
    print(f"FAULT_SEED={SEED}", *drawn, sep="\n")  # noqa: T201 - shown on failure
    with (
        running_roles(Roles(tmp_path), *ROLES) as roles,
        grpc.insecure_channel(roles.address) as channel,
    ):
        api = Api(channel)
        for key in keys:
            api.begin(key, BAD if key in bad else GOOD)
        with traffic(roles.address, UNITS_PER_SECOND, keys):
            carry_out(roles, drawn)
            ended = {each.plan.key: each.state for each in await_ends(api)}
        assert ended.keys() == set(keys)
        for key in keys:
            check_log(api.log(key), ended[key])
            assert api.share(key) == ENDS[ended[key].status] == ended[key].share_ppm
        succeeded = {
            key
            for key, state in ended.items()
            if state.status == experiment_pb2.EXPERIMENT_STATUS_SUCCEEDED
        }
        assert succeeded == set(keys) - bad


def await_ends(api: Api) -> Sequence[experiment_pb2.Experiment]:
    """Wait until all experiments have ended; return them."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        found = _answer(api)
        going = [each for each in found if each.state.status not in ENDS]
        if found and not going:
            return found
        assert time.monotonic() < deadline, f"still under way: {going}"
        time.sleep(POLL_SECONDS)


def _answer(api: Api) -> Sequence[experiment_pb2.Experiment]:
    """Return all experiments; none where the server has yet to find its store."""
    try:
        return api.all()
    except grpc.RpcError as error:
        if not isinstance(error, grpc.Call) or error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return []


def check_log(
    log: Sequence[experiment_pb2.Decision], state: experiment_pb2.ExperimentState
) -> None:
    """Check that each decision follows from the one before, and the last led to the state."""
    assert [each.number for each in log] == list(range(1, len(log) + 1))
    for before, after in pairwise(log):
        assert _place(before.after) == _place(after.before), (before, after)
        assert before.time.ToDatetime() <= after.time.ToDatetime()
        assert after.phase == (before.revision or before.phase)
    assert _place(log[-1].after) == _place(state)
    changes = [each.revision for each in log if each.revision]
    assert changes == sorted(set(changes))
    assert list(_shares(log)) == [each.after.share_ppm for each in log if each.revision]


def _shares(log: Sequence[experiment_pb2.Decision]) -> Iterator[int]:
    """Yield each new share that the log tells of."""
    share = log[0].before.share_ppm
    for each in log:
        if each.after.share_ppm != share:
            share = each.after.share_ppm
            yield share


def _place(state: experiment_pb2.ExperimentState) -> tuple[int, int, int, int]:
    return state.status, state.stage, state.share_ppm, state.attempt
