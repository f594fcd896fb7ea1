"""Notifications, delivered to a real HTTP server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.server.controller.receiver import Receiver
from tests.server.controller.scene import HOUR, PLAN, Scene
from tidegate_server.analysis.decision import Verdict
from tidegate_server.controller.lease import Term
from tidegate_server.controller.notifications import courier as couriers
from tidegate_server.controller.notifications.bodies import body_of
from tidegate_server.domain.experiments.plan import (
    ExperimentKey,
    Notification,
    NotificationFormat,
)
from tidegate_server.domain.experiments.records import Action, Decision, Measured, NumberedDecision
from tidegate_server.domain.experiments.requests import Request
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.ports import Fence
from tidegate_server.storage.outbox import RedisOutbox

TIME = datetime(2026, 7, 1, 12, tzinfo=UTC)
OBSERVING = State(Status.OBSERVING, share_ppm=50_000, attempt=1, started=TIME)
DECISION = Decision(
    time=TIME,
    action=Action.ROLL_BACK,
    actor="controller",
    why="error is 0.2 & <!channel> is > 0.1",
    before=OBSERVING,
    after=replace(OBSERVING, status=Status.ROLLING_BACK, share_ppm=0),
    stage="canary",
    phase=9,
    verdict=Verdict.BREACH,
    units=412.0,
    measured=(Measured("error", "ceiling", 0.2, None, None, 0.1),),
)
TOLD = NumberedDecision(3, DECISION, 12)


def test_json_says_all() -> None:
    body = body_of(NotificationFormat.JSON, "prod/chat-v2/1/3", "prod", PLAN, TOLD)
    assert json.loads(body) == {
        "id": "prod/chat-v2/1/3",
        "environment": "prod",
        "experiment": "chat-v2",
        "flag": "chat-model",
        "control": "v1",
        "treatment": "v2",
        "labels": {},
        "number": 3,
        "time": "2026-07-01T12:00:00+00:00",
        "action": "roll back",
        "actor": "controller",
        "why": "error is 0.2 & <!channel> is > 0.1",
        "attempt": 1,
        "stage": "canary",
        "status_before": "observing",
        "status": "rolling_back",
        "share_before": 0.05,
        "share": 0.0,
        "phase": 9,
        "revision": 12,
        "verdict": "breach",
        "units": 412.0,
        "metrics": [
            {
                "metric": "error",
                "role": "ceiling",
                "value": 0.2,
                "lower": None,
                "upper": None,
                "threshold": 0.1,
                "tolerance": None,
            }
        ],
    }


def test_slack_is_escaped_and_short() -> None:
    body = json.loads(body_of(NotificationFormat.SLACK, "prod/chat-v2/1/3", "prod", PLAN, TOLD))
    why = "error is 0.2 &amp; &lt;!channel&gt; is &gt; 0.1"
    assert body["text"] == f"chat-v2: roll back: {why}"
    section, context = body["blocks"]
    assert section["text"] == {
        "type": "mrkdwn",
        "text": f"*chat-v2: roll back*\n{why}\nrolling_back · canary · v2 has 5 % → 0 % · prod",
    }
    assert context["elements"][0]["text"] == "prod/chat-v2/1/3 by controller"
    long = replace(TOLD, decision=replace(DECISION, why="&" * 5_000))
    body = json.loads(body_of(NotificationFormat.SLACK, "1", "prod", PLAN, long))
    assert len(body["blocks"][0]["text"]["text"]) < 3_000


@asynccontextmanager
async def delivering(scene: Scene) -> AsyncIterator[Term]:
    """Deliver during the block."""
    term = Term(Fence(1))
    running = asyncio.create_task(scene.desk().courier.run(term))
    try:
        yield term
    finally:
        term.over.set()
        await running


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "POLL_SECONDS", 0.02)


async def decide(scene: Scene, *paths: str, url: str) -> None:
    """Make three decisions about an experiment that tells these addresses."""
    told = tuple(Notification(f"{url}/{path}") for path in paths)
    await scene.start(replace(PLAN, notifications=told))
    await scene.ask(Request.PAUSE)
    await scene.ask(Request.RESUME)


async def emptied(scene: Scene) -> None:
    """Wait until nothing is left to be told."""
    outbox = RedisOutbox(scene.client, scene.environment)
    while await outbox.pending(1):
        pass


async def test_each_decision_is_told_in_order(scene: Scene, receiver: Receiver) -> None:
    receiver.answer("/good", 200, 500, 500)
    await decide(scene, "good", url=receiver.url)
    async with delivering(scene):
        await receiver.wait_for("/good", 5)
        await emptied(scene)
    assert [each.json["number"] for each in receiver.received] == [1, 2, 2, 2, 3]
    created = round((await scene.store.get(PLAN.key)).created.timestamp() * 1000)
    ids = [each.headers["Tidegate-Id"] for each in receiver.received]
    assert ids[0] == f"{scene.environment}/chat-v2/{created}/1"
    assert len(set(ids)) == 3
    assert all("Tidegate-Signature" in each.headers for each in receiver.received)


@pytest.mark.parametrize("bad", [None, 500, 302, 404])
async def test_a_bad_address_does_not_keep_others_waiting(
    scene: Scene, receiver: Receiver, bad: int | None
) -> None:
    receiver.answer("/bad", *[bad] * 1_000)
    await decide(scene, "bad", "good", url=receiver.url)
    async with delivering(scene):
        assert len(await receiver.wait_for("/good", 3)) == 3
        await receiver.wait_for("/bad", 1)
    assert {each.json["number"] for each in receiver.of("/bad")} == {1}
    assert len(await RedisOutbox(scene.client, scene.environment).pending(10)) == 3


async def test_many_messages_to_a_bad_address_do_not_hide_others(
    scene: Scene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "PAGE", 2)
    receiver.answer("/bad", *[500] * 1_000)
    await decide(scene, "bad", "bad", "bad", url=receiver.url)
    plan = replace(
        PLAN,
        key=ExperimentKey("other"),
        flag=PLAN.flag,
        notifications=(Notification(f"{receiver.url}/good"),),
    )
    await scene.experiments.create(plan)
    await scene.ask(Request.ABORT, plan.key)
    async with delivering(scene):
        await receiver.wait_for("/good", 1)


async def test_what_was_not_delivered_is_delivered_by_the_next_controller(
    scene: Scene, receiver: Receiver
) -> None:
    receiver.answer("/hook", None, 500)
    await decide(scene, "hook", url=receiver.url)
    async with delivering(scene):
        await receiver.wait_for("/hook", 1)
    async with delivering(scene):
        await receiver.wait_for("/hook", 5)
        await emptied(scene)
    assert [each.json["number"] for each in receiver.received] == [1, 1, 1, 2, 3]


async def test_after_a_day_it_is_given_up(
    scene: Scene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "GIVEN_UP", timedelta())
    receiver.answer("/hook", 503, 200, 200)
    with capture_logs() as logs:
        await decide(scene, "hook", url=receiver.url)
        async with delivering(scene):
            await receiver.wait_for("/hook", 3)
            await emptied(scene)
    assert [each.json["number"] for each in receiver.received] == [1, 2, 3]
    [given_up] = [each for each in logs if each["event"] == "notification_given_up"]
    assert (given_up["experiment"], given_up["number"]) == ("chat-v2", 1)
    assert given_up["cause"] == "answered 503: said"


async def test_until_then_it_is_tried(scene: Scene, receiver: Receiver) -> None:
    assert couriers.GIVEN_UP == 24 * HOUR
    receiver.answer("/hook", *[503] * 20)
    with capture_logs() as logs:
        await decide(scene, "hook", url=receiver.url)
        async with delivering(scene):
            await receiver.wait_for("/hook", 23)
            await emptied(scene)
    assert [each["event"] for each in logs].count("not_notified") == 1, "said once, not each time"


async def test_only_the_actions_asked_for(scene: Scene, receiver: Receiver) -> None:
    told = Notification(f"{receiver.url}/hook", actions=(Action.PAUSE,))
    await scene.start(replace(PLAN, notifications=(told,)))
    await scene.ask(Request.PAUSE)
    async with delivering(scene):
        await emptied(scene)
    assert [each.json["action"] for each in receiver.received] == ["pause"]


async def test_an_experiment_that_was_deleted_is_told_no_more(
    scene: Scene, receiver: Receiver
) -> None:
    await decide(scene, "hook", url=receiver.url)
    await scene.ask(Request.ABORT)
    outbox = RedisOutbox(scene.client, scene.environment)
    [message, *_] = await outbox.pending(10)
    await scene.experiments.delete(PLAN.key)
    assert await outbox.pending(10) == []
    assert await scene.desk().courier._attempt(message, 0)
    assert receiver.received == []
