"""Experiments, there and back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.domain.experiments import strategies
from tests.server.domain.experiments.samples import NOW, PLAN
from tidegate.v1 import experiment_pb2
from tidegate_server.domain.experiments.checks import problems
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Experiment, NumberedDecision, Seen
from tidegate_server.domain.experiments.state import State
from tidegate_server.errors import InvalidFields
from tidegate_server.wire import experiments as wire

Message = experiment_pb2.ExperimentPlan


@settings(max_examples=60, deadline=None)
@given(strategies.plans())
def test_plans_come_back(plan: Plan) -> None:
    assert problems(plan) == ()
    message = Message.FromString(wire.plan_to_message(plan).SerializeToString())
    assert wire.plan_from_message(message) == plan


@settings(deadline=None)
@given(strategies.states)
def test_states_come_back(state: State) -> None:
    assert wire.state_from_message(wire.state_to_message(state)) == state


@settings(deadline=None, max_examples=20)
@given(strategies.experiments)
def test_experiments_come_back(experiment: Experiment) -> None:
    assert wire.experiment_from_message(wire.experiment_to_message(experiment)) == experiment


@settings(deadline=None)
@given(strategies.numbered_decisions)
def test_decisions_come_back(decision: NumberedDecision) -> None:
    assert wire.decision_from_message(wire.decision_to_message(decision)) == decision


@settings(deadline=None)
@given(strategies.looks)
def test_looks_come_back(look: Seen) -> None:
    assert wire.look_from_message(wire.look_to_message(look)) == look


def message() -> Message:
    return wire.plan_to_message(PLAN)


def fields(found: Message) -> list[str]:
    _, unread = wire.read_plan(found)
    return [each.field for each in unread]


def edited(edit: Callable[[Message], object]) -> Message:
    changed = message()
    edit(changed)
    return changed


BAD: list[tuple[str, Callable[[Message], object], str]] = [
    ("stages[1].then", lambda m: setattr(m.stages[1], "after_hold", 0), "is not set: give hold"),
    ("stages[0].then", lambda m: setattr(m.stages[0], "after_hold", 9), "9 is not known"),
    ("goal.rule", lambda m: setattr(m.goal, "rule", 0), "give bound, point"),
    ("rollback.mode", lambda m: setattr(m.rollback, "mode", 0), "give instant, stepwise"),
    ("lease.then", lambda m: setattr(m.lease, "then", 0), "give freeze, control"),
    ("goal.metric", lambda m: setattr(m.goal.metric, "statistic", "p42"), "give mean, p50"),
    ("guardrails[1].metric", lambda m: m.guardrails[1].ceiling.ClearField("metric"), "statistic"),
    ("guardrails[0]", lambda m: m.guardrails[0].Clear(), "give one of max, min"),
    ("stages[0].bake", lambda m: setattr(m.stages[0].bake, "nanos", 1), "whole microseconds"),
    ("deadline", lambda m: setattr(m.deadline, "nanos", -1_000), "is no duration"),
    ("interval", lambda m: setattr(m.interval, "seconds", 1 << 60), "is no duration"),
    (
        "stages[2].before[1].timeout",
        lambda m: m.stages[2].before.extend([hook(1), hook(1_000_000)]),
        "is no duration",
    ),
    ("change_windows[0].start", lambda m: add_window(m, start="24:00"), "is no time of day"),
    ("change_windows[0].end", lambda m: add_window(m, end="9:30"), "such as 09:30"),
    ("change_windows[0].days", lambda m: add_window(m, days=[7, 1]), "7 is no day"),
    ("notifications[0].format", lambda m: m.notifications.add(url="http://a"), "give json, slack"),
]


def hook(nanos: int) -> experiment_pb2.Hook:
    return experiment_pb2.Hook(url="http://a", timeout=Duration(seconds=1, nanos=nanos * 1_000))


@pytest.mark.parametrize(("field", "edit", "words"), BAD, ids=[field for field, _, _ in BAD])
def test_what_no_plan_can_hold_is_refused_by_its_name_in_files(
    field: str, edit: Callable[[Message], object], words: str
) -> None:
    changed = edited(edit)
    with pytest.raises(InvalidFields, match=words) as caught:
        wire.plan_from_message(changed)
    assert field in [each.field for each in caught.value.problems]
    plan, unread = wire.read_plan(changed)
    assert {each.field for each in problems(plan)} <= {each.field for each in unread}


def add_window(message: Message, **fields: Any) -> None:
    sound = {"days": [0], "start": "09:00", "end": "17:00", "zone": "UTC"}
    message.change_windows.add(**(sound | fields))


def test_all_is_named_at_once() -> None:
    changed = message()
    for edit in (BAD[0][1], BAD[2][1], BAD[7][1], BAD[8][1]):
        edit(changed)
    wanted = ["stages[0].bake", "stages[1].then", "goal.rule", "guardrails[0]"]
    assert fields(changed) == wanted
    with pytest.raises(InvalidFields) as caught:
        wire.plan_from_message(changed)
    assert len(str(caught.value).splitlines()) == len(wanted)


def test_an_empty_plan_is_wrong_in_all_that_it_needs() -> None:
    plan, unread = wire.read_plan(Message())
    named = {each.field for each in (*unread, *problems(plan))}
    assert named >= {"experiment", "flag", "control", "stages", "guardrails", "quality.alpha"}
    assert named >= {"interval", "lease.then", "rollback.mode"}


def test_other_messages_name_what_is_wrong_too() -> None:
    state = experiment_pb2.ExperimentState(
        status=experiment_pb2.EXPERIMENT_STATUS_UNSPECIFIED,
        verdict=77,  # type: ignore[arg-type]
        since=Timestamp(seconds=1 << 60),
    )
    with pytest.raises(InvalidFields) as caught:
        wire.state_from_message(state)
    assert [each.field for each in caught.value.problems] == [
        "state.status",
        "state.since",
        "state.verdict",
    ]
    with pytest.raises(InvalidFields, match="action: 'dance' is not known: give start"):
        wire.decision_from_message(experiment_pb2.Decision(action="dance"))
    with pytest.raises(InvalidFields, match=r"state\.status: is not set"):
        wire.experiment_from_message(experiment_pb2.Experiment(plan=message()))
    with pytest.raises(InvalidFields, match="verdict: is not set"):
        wire.look_from_message(experiment_pb2.Look())


@given(st.timedeltas(timedelta(days=-400_000), timedelta(days=400_000)))
def test_any_duration_comes_back(span: timedelta) -> None:
    plan = replace(PLAN, watch=span)
    assert wire.plan_from_message(wire.plan_to_message(plan)).watch == span


def test_the_time_of_a_look_is_kept_to_the_microsecond() -> None:
    state = State(looked=NOW + timedelta(microseconds=123_457))
    assert wire.state_from_message(wire.state_to_message(state)) == state
