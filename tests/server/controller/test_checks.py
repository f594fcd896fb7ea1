"""Checks against real servers and programs."""

import asyncio
import json
import os
import select
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health

from tests.server.controller.receiver import Receiver
from tests.server.domain.experiments.samples import PLAN
from tidegate.backoff import Backoff
from tidegate_server.controller.checks import evaluations, health, hooks
from tidegate_server.controller.checks.evaluations import evaluate, judge_metrics
from tidegate_server.controller.checks.health import check_health
from tidegate_server.controller.checks.hooks import ask_hook, hook_body
from tidegate_server.controller.checks.outcome import PASSED, Outcome, failed
from tidegate_server.controller.gates import HookCall, Moment
from tidegate_server.controller.web import Web
from tidegate_server.domain.experiments.plan import Evaluation, Hook, Threshold
from tidegate_server.domain.experiments.state import State, Status

AT_LEAST, AT_MOST = Threshold("accuracy", 0.9, floor=True), Threshold("p95", 300.0)
GOOD = json.dumps({"accuracy": 0.93, "p95": 250, "comment": "fine"})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again almost at once."""
    for module in (evaluations, hooks):
        monkeypatch.setattr(module, "AGAIN", Backoff(0.01, 0.01))
    monkeypatch.setattr(health, "_AGAIN", Backoff(0.01, 0.01))


class Said:
    """What a check said of itself, and when it has said something."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.anything = asyncio.Event()

    def __call__(self, text: str) -> None:
        self.texts.append(text)
        self.anything.set()


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
async def servicer() -> AsyncIterator[tuple[str, aio_health.HealthServicer]]:
    """A server with gRPC's health service, and its address."""
    server, servicer = grpc.aio.server(), aio_health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", servicer
    await server.stop(None)


async def test_health_is_asked_until_it_serves(
    servicer: tuple[str, aio_health.HealthServicer], said: Said
) -> None:
    address, service = servicer
    await service.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    asking = asyncio.create_task(check_health(address, said))
    await said.anything.wait()
    assert said.texts[0] == "NOT_SERVING"
    await service.set("", health_pb2.HealthCheckResponse.SERVING)
    assert await asking == PASSED


async def test_health_of_nobody(said: Said) -> None:
    asking = asyncio.create_task(check_health("127.0.0.1:1", said))
    await said.anything.wait()
    asking.cancel()
    assert said.texts[0].startswith("UNAVAILABLE: ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (GOOD, ""),
        ('{"accuracy": 0.9, "p95": 300}', ""),
        (
            '{"accuracy": 0.8, "p95": 301}',
            "accuracy is 0.8; at least 0.9 is wanted; p95 is 301; at most 300 is wanted",
        ),
        ('{"p95": "slow"}', "accuracy is missing; p95 is 'slow', which is no number"),
        (
            '{"accuracy": true, "p95": NaN}',
            "accuracy is True, which is no number; p95 is nan, which is no number",
        ),
        ("[1]", "the answer is no JSON object: '[1]'"),
        ("<html>", "the answer is not JSON: '<html>'"),
        ("", "the answer is not JSON: ''"),
    ],
)
def test_metrics_and_thresholds(text: str, why: str) -> None:
    """Every threshold that is missed is named."""
    assert judge_metrics(text, (AT_LEAST, AT_MOST)) == Outcome(not why, why)


async def test_an_evaluation_by_url(web: Web, receiver: Receiver, said: Said) -> None:
    receiver.answer("/eval", 503, 429)
    receiver.text = GOOD
    found = Evaluation((AT_LEAST,), url=f"{receiver.url}/eval")
    assert await evaluate(found, (), web, said) == PASSED
    assert [each.method for each in receiver.received] == ["GET"] * 3
    assert said.texts == [f"answered {status}: {GOOD}" for status in (503, 429)]
    receiver.answer("/eval", 404)
    assert await evaluate(found, (), web, said) == failed(f"answered 404: {GOOD}")


def program(text: str, *, seconds: float = 20) -> Evaluation:
    """An evaluation that runs these lines of Python."""
    command = (sys.executable, "-c", text)
    return Evaluation((AT_LEAST,), command=command, timeout=timedelta(seconds=seconds))


async def run(evaluation: Evaluation, web: Web, said: Said) -> Outcome:
    return await evaluate(evaluation, {sys.executable}, web, said)


async def test_only_programs_that_are_allowed_are_run(web: Web, said: Said) -> None:
    outcome = await evaluate(program("raise SystemExit"), {"/bin/evaluate"}, web, said)
    assert outcome.why == (
        f"this controller may not run {sys.executable!r}: "
        "add it to TIDEGATE_EVALUATION_COMMANDS there, or give a url"
    )


async def test_an_evaluation_by_a_program(
    web: Web, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_WEBHOOK_SECRET", "not for programs")
    counts = """
import json, os
own = [name for name in os.environ if name.startswith("TIDEGATE_")]
print(json.dumps({"accuracy": 1.0 - len(own)}))
"""
    assert await run(program(counts), web, said) == PASSED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import sys; sys.exit('no model')", "the program ended with 1: no model"),
        ("raise SystemExit(3)", "the program ended with 3: it said nothing"),
        ("print('x' * 5_000_000)", "the answer is not JSON: 'xxx"),
    ],
)
async def test_programs_that_fail(web: Web, said: Said, text: str, why: str) -> None:
    outcome = await run(program(text), web, said)
    assert not outcome.passed
    assert outcome.why.startswith(why)


async def test_a_program_that_is_not_there(web: Web, said: Said) -> None:
    missing = Evaluation((AT_LEAST,), command=("/no/such/program",))
    outcome = await evaluate(missing, {"/no/such/program"}, web, said)
    assert outcome == failed("'/no/such/program' can't be run: No such file or directory")


CHILD = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
pathlib.Path({path!r}).write_text(str(child.pid))
time.sleep(100)
"""


def ended(pid: int) -> bool:
    """Whether a process ends within seconds; nobody else may wait for it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poll = select.poll()
    poll.register(descriptor)
    try:
        return bool(poll.poll(5_000))
    finally:
        os.close(descriptor)


async def test_a_program_that_takes_too_long_ends_with_all_it_started(
    web: Web, said: Said, tmp_path: Path
) -> None:
    path = tmp_path / "pid"
    outcome = await run(program(CHILD.format(path=str(path)), seconds=1), web, said)
    assert outcome == failed("the program did not end within 1s")
    assert ended(int(path.read_text()))


async def test_a_program_that_is_no_longer_wanted_ends_with_all_it_started(
    web: Web, said: Said, tmp_path: Path
) -> None:
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    task = asyncio.create_task(run(program(CHILD.format(path=str(pipe))), web, said))
    child = int(await asyncio.to_thread(pipe.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended(child)


CALL = HookCall(Hook("http://hook", timeout=timedelta(seconds=5)), Moment.AFTER)
TOLD = hook_body(PLAN, State(Status.OBSERVING, stage=1, attempt=2), CALL)


def test_what_a_hook_is_told() -> None:
    assert json.loads(TOLD) == {
        "experiment": "chat-v2",
        "flag": "chat-model",
        "control": "v1",
        "treatment": "v2",
        "attempt": 2,
        "stage": "test",
        "moment": "after",
        "share": 0.25,
    }


async def test_a_hook_is_asked_until_it_says_yes(web: Web, receiver: Receiver, said: Said) -> None:
    call = HookCall(Hook(f"{receiver.url}/hook", timeout=timedelta(seconds=0.2)), Moment.AFTER)
    receiver.answer("/hook", 500, 425, None)
    assert await ask_hook(web, call, TOLD, "prod/chat-v2/1/2/test/after/0", said) == PASSED
    assert said.texts == ["answered 500: said", "answered 425: said", "no answer within 0.2 s"]
    ids = {each.headers["Tidegate-Id"] for each in receiver.received}
    assert (len(receiver.received), ids) == (4, {"prod/chat-v2/1/2/test/after/0"})
    assert {each.body for each in receiver.received} == {TOLD}


async def test_a_hook_that_says_no(web: Web, receiver: Receiver, said: Said) -> None:
    receiver.answer("/hook", 403)
    receiver.text = "frozen until Monday"
    call = HookCall(Hook(f"{receiver.url}/hook"), Moment.BEFORE)
    outcome = await ask_hook(web, call, TOLD, "1", said)
    assert outcome == failed("answered 403: frozen until Monday")
