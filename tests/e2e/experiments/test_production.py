"""A whole production rollout: validation before any traffic, canary, test, approval, promotion."""

import hashlib
import hmac
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health

from tests.e2e.calls import split_messages
from tests.e2e.experiments.traffic import traffic
from tests.e2e.stack import Stack, running_stack
from tests.server.controller.receiver import Received, Receiver, receiving
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

SECRET = "a secret of sixteen and more"
UNITS_PER_SECOND = 300
PLAN = """
experiment: {key}
flag: {key}
control: v1
treatment: v2
goal: {{metric: rating, min_effect: 5%, planned_units: 3000}}
guardrails:
  - {{metric: error, max: 20%, window: 10s}}
  - {{metric: latency_ms, margin: 20%}}
quality: {{burn_in: 100}}
preflight:
  limit: 30s
  health: {health}
  evaluation: {{command: {command}, metrics: {{accuracy: {{min: 90%}}}}}}
stages:
  - {{name: canary, share: 10%, bake: 2s, min_units: 100, passes: 2}}
  - {{name: test, share: 30%, bake: 2s, min_units: 200, decide: true, before: ["{hooks}/before"]}}
  - {{name: expand, share: 50%, bake: 2s, approval: required, after: ["{hooks}/after"]}}
  - {{name: full, share: 100%, bake: 1s}}
watch: 2s
interval: 1s
notifications: [{{url: "{hooks}/told"}}]
"""
Done = Callable[[experiment_pb2.ExperimentState], bool]


class Rollout:
    """One flag with an experiment on it, and the outside world that it asks."""

    def __init__(
        self, key: str, channel: grpc.aio.Channel, receiver: Receiver, health: str, accuracy: float
    ) -> None:
        self.key = key
        self._flags = flag_service_pb2_grpc.FlagServiceStub(channel)
        self.experiments = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
        program = f"print({json.dumps(json.dumps({'accuracy': accuracy}))})"
        text = PLAN.format(
            key=key,
            health=health,
            hooks=receiver.url,
            command=json.dumps([sys.executable, "-c", program]),
        )
        self._plan = parse_experiment_file(key, text).plan

    async def start(self) -> None:
        """Create the flag, with a treatment that is rated better, and start the experiment."""
        flag = flag_pb2.Flag(
            key=self.key,
            variants=[flag_pb2.Variant(key="v1"), flag_pb2.Variant(key="v2")],
            default_variant="v1",
            split=split_messages({"v1": 100}),
        )
        flag.variants[0].value.update({"rating": 4.0})
        flag.variants[1].value.update({"rating": 4.8})
        await self._flags.CreateFlag(flag_service_pb2.CreateFlagRequest(flag=flag))
        await self.experiments.CreateExperiment(
            experiment_service_pb2.CreateExperimentRequest(plan=plan_to_message(self._plan))
        )
        await self.experiments.StartExperiment(
            experiment_service_pb2.StartExperimentRequest(key=self.key, actor="ann")
        )

    async def until(self, done: Done) -> experiment_pb2.ExperimentState:
        """Watch the experiment until its state is as wanted; return that."""
        request = experiment_service_pb2.WatchExperimentsRequest(key=self.key)
        async for message in self.experiments.WatchExperiments(request):
            if message.HasField("experiment") and done(message.experiment.state):
                return message.experiment.state
        raise AssertionError("the stream ended")

    async def log(self) -> list[experiment_pb2.Decision]:
        """Return all decisions."""
        request = experiment_service_pb2.ListDecisionsRequest(key=self.key, page_size=1_000)
        return list((await self.experiments.ListDecisions(request)).decisions)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that may run this Python as an evaluation."""
    settings = {"TIDEGATE_EVALUATION_COMMANDS": sys.executable, "TIDEGATE_WEBHOOK_SECRET": SECRET}
    with running_stack(tmp_path_factory.mktemp("tidegate"), **settings) as stack:
        yield stack


@asynccontextmanager
async def new_version() -> AsyncIterator[tuple[str, aio_health.HealthServicer]]:
    """Run a server with gRPC's health service, which does not serve yet."""
    server, servicer = grpc.aio.server(), aio_health.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", servicer
    finally:
        await server.stop(None)


def status_is(wanted: "experiment_pb2.ExperimentStatus.ValueType") -> Done:
    return lambda state: state.status == wanted


async def test_a_good_version_goes_all_the_way(production: Stack) -> None:
    async with (
        grpc.aio.insecure_channel(production.address) as channel,
        receiving() as receiver,
        new_version() as (health, servicer),
    ):
        receiver.answer("/before", 503, 200)
        rollout = Rollout("whole", channel, receiver, health, accuracy=0.97)
        await rollout.start()
        with traffic(production.address, UNITS_PER_SECOND, [rollout.key]):
            state = await rollout.until(lambda state: state.HasField("look_time"))
            assert state.status == experiment_pb2.EXPERIMENT_STATUS_PREFLIGHT
            await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
            state = await rollout.until(
                status_is(experiment_pb2.EXPERIMENT_STATUS_AWAITING_APPROVAL)
            )
            assert state.share_ppm == 500_000
            await rollout.experiments.ApproveExperiment(
                experiment_service_pb2.ApproveExperimentRequest(
                    key=rollout.key, actor="bea", why="all is well"
                )
            )
            state = await rollout.until(status_is(experiment_pb2.EXPERIMENT_STATUS_SUCCEEDED))
        assert state.share_ppm == 1_000_000
        log = await rollout.log()
        await receiver.wait_for("/told", len(log))
    assert [(each.action, each.stage) for each in log] == [
        ("start", "canary"),
        ("advance", "canary"),
        ("enter", "canary"),
        ("advance", "canary"),
        ("enter", "test"),
        *([("wait to decide", "test")] if any(e.action == "wait to decide" for e in log) else []),
        ("advance", "test"),
        ("enter", "expand"),
        ("ask for approval", "expand"),
        ("approve", "expand"),
        ("enter", "full"),
        ("promote", "full"),
        ("finish", "full"),
    ]
    (win,) = (each for each in log if (each.action, each.stage) == ("advance", "test"))
    assert win.verdict == experiment_pb2.VERDICT_WIN
    assert "rating is better by at least" in win.why
    assert {each.role for each in win.measured} == {"goal", "guardrail", "ceiling"}
    assert next(each for each in log if each.action == "approve").actor == "bea"
    check_asked(receiver, "/before", 2)
    check_asked(receiver, "/after", 1)
    check_told(receiver.of("/told"), log)


async def test_a_version_that_fails_its_evaluation_gets_no_traffic(
    production: Stack,
) -> None:
    async with (
        grpc.aio.insecure_channel(production.address) as channel,
        receiving() as receiver,
        new_version() as (health, servicer),
    ):
        await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        rollout = Rollout("poor", channel, receiver, health, accuracy=0.5)
        await rollout.start()
        state = await rollout.until(status_is(experiment_pb2.EXPERIMENT_STATUS_REJECTED))
        log = await rollout.log()
    assert "accuracy is 0.5" in state.reason
    assert [each.revision for each in log] == [0] * len(log)
    assert not receiver.of("/before")


def check_asked(receiver: Receiver, path: str, times: int) -> None:
    """Check that a hook was asked so often, always under one id."""
    asked = receiver.of(path)
    assert len(asked) == times
    assert len({each.headers["Tidegate-Id"] for each in asked}) == 1
    assert all(signed(each) for each in asked)


def check_told(told: list[Received], log: list[experiment_pb2.Decision]) -> None:
    """Check that every decision was told, in order, under an id of its own, and signed."""
    numbers = list(dict.fromkeys(each.json["number"] for each in told))
    assert numbers == [each.number for each in log]
    assert len({each.json["id"] for each in told}) == len(log)
    assert all(signed(each) for each in told)


def signed(received: Received) -> bool:
    """Tell whether a request has the right signature."""
    fields = dict(part.split("=") for part in received.headers["Tidegate-Signature"].split(","))
    message = fields["t"].encode() + b"." + received.body
    wanted = hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, fields["v1"])
