"""How experiments and their decisions are shown, in every state."""

import io
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console, RenderableType

from tests.server.domain.experiments.samples import HOUR, MINUTE, NOW, PERCENT, PLAN
from tidegate.model import PPM, Direction, Metric
from tidegate_server.analysis.decision import Verdict
from tidegate_server.cli.experiments.log_view import decision_line, show_decision, show_log
from tidegate_server.cli.experiments.status_view import Picture, show_status
from tidegate_server.domain.experiments.plan import Goal, MetricName, Plan
from tidegate_server.domain.experiments.records import (
    Action,
    Decision,
    Experiment,
    Measured,
    NumberedDecision,
    Seen,
)
from tidegate_server.domain.experiments.state import Memory, State, Status

MEASURED = (
    Measured("rating", "goal", 0.031, 0.01, 0.052, 0.05),
    Measured("latency_ms", "guardrail", -0.02, -0.05, 0.01, 0.1, 0.1),
    Measured("error", "ceiling", 0.0123, None, None, 0.05),
)
STATE = State(
    Status.OBSERVING,
    stage=1,
    share_ppm=25 * PERCENT,
    attempt=1,
    started=NOW - HOUR,
    since=NOW - 20 * MINUTE,
    reason="test is ready: v2 has 25 %",
    baked=12 * MINUTE,
    streak=1,
)


def console(*, terminal: bool = False, width: int = 160) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def printed(what: RenderableType, at: Console) -> str:
    at.print(what)
    assert isinstance(at.file, io.StringIO)
    return at.file.getvalue()


def a_look(minutes: float = 0.0, measured: tuple[Measured, ...] = MEASURED) -> Seen:
    return Seen(
        time=NOW - timedelta(minutes=minutes),
        stage="test",
        share_ppm=25 * PERCENT,
        verdict=Verdict.PASS,
        reasons=("rating is better by 1.0% to 5.2%; 5.0% is wanted",),
        units=1_234.0,
        information=0.4,
        least_p=0.8,
        measured=measured,
    )


def status(
    state: State,
    *looks: Seen,
    plan: Plan = PLAN,
    terminal: bool = False,
    metrics: tuple[Metric, ...] = (),
) -> str:
    at = console(terminal=terminal)
    experiment = Experiment(plan, state, 3, NOW, NOW)
    return printed(show_status(Picture(experiment, looks, metrics), at, NOW), at)


def test_a_stage_under_way_says_what_it_waits_for_and_what_is_known() -> None:
    lines = [line.rstrip() for line in status(STATE, a_look(1), a_look()).splitlines()]
    assert lines[0] == "chat-v2: observing on chat-model: v2 has 25 % of the units"
    assert lines[1].startswith("+  canary    5 %  #...")
    assert lines[2].startswith(">  test     25 %  #####...")
    assert lines[2].endswith("bakes for 30m, 1,000 units, decides")
    assert lines[3].startswith(".  expand   50 %")
    told = {line.split("  ")[0]: line for line in lines[5:9]}
    assert told["decided"].endswith("(20m ago): test is ready: v2 has 25 %")
    assert "(0s ago): nothing against it: rating is better by 1.0%" in told["last look"]
    assert told["waits for"].endswith(
        "baked 12m of 30m, 1,000 units in the smaller arm, 1 of 1 passes in a row, "
        "the goal and all margins are shown"
    )
    assert told["then"].endswith("expand: 50 %")
    assert "+3.1% (+1.0% … +5.2%)" in lines[9]
    goal, latency = (
        line.rpartition(last)[2] for line, last in ((lines[9], "wanted"), (lines[10], "rolls back"))
    )
    assert goal.index("|") < goal.index("o") < goal.index("T")
    assert "margin 10.0%, harm beyond 10.0% rolls back" in lines[10]
    assert latency.index("o") < latency.index("|") < latency.index("X")
    assert "1.23%" in lines[11]
    assert "limit 5%" in lines[11]
    assert lines[13].startswith("rating, change under the treatment; 2 looks from ")
    assert len(lines[14:]) == 9


def test_on_a_terminal_it_is_drawn_with_more_than_ascii() -> None:
    text = status(STATE, a_look(1), a_look(), terminal=True)
    assert {"✓", "▶", "█", "├", "●", "◆"} <= set(text)
    assert status(STATE, a_look(1), a_look()).replace("…", "").isascii()


def test_limits_lie_on_the_side_that_the_flag_says_is_worse() -> None:
    tokens = Measured("tokens", "guardrail", 0.0, -0.01, 0.01, 0.1, 0.1)
    for direction, before in ((Direction.LOWER, False), (Direction.HIGHER, True)):
        text = status(STATE, a_look(0, (tokens,)), metrics=(Metric("tokens", direction),))
        (line,) = (line for line in text.splitlines() if "tokens  " in line)
        drawn = line.rpartition("rolls back")[2]
        assert (drawn.index("X") < drawn.index("o")) is before


def test_what_can_not_be_estimated_yet_is_said() -> None:
    unknown = Measured("rating", "goal", None, None, None, 0.05)
    half = replace(unknown, value=0.1)
    text = status(STATE, a_look(1, (unknown,)), a_look(0, (half,)))
    assert "+10.0%" in text
    assert "not estimable yet" in status(STATE, a_look(0, (unknown,)))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (State(), ["draft", "waits for  somebody starts it", "then       canary: 5 %"]),
        (
            replace(STATE, status=Status.PREFLIGHT, stage=0, share_ppm=0),
            ["in preflight", "waits for  checks, for at most 10m", "then       canary: 5 %"],
        ),
        (replace(STATE, status=Status.HELD), ["held", "waits for  healthy evidence, baked"]),
        (
            replace(STATE, status=Status.ENTERING, stage=2),
            ["entering a stage", "the stage is ready for 50 %", "somebody approves"],
        ),
        (
            replace(STATE, status=Status.AWAITING_APPROVAL, stage=3),
            ["waits for  somebody approves", "promotion: v2 gets 100 %, watched for 1h"],
        ),
        (replace(STATE, status=Status.PAUSED), ["paused", "waits for  somebody resumes"]),
        (
            replace(STATE, status=Status.WATCHING, share_ppm=PPM, stage=3, baked=30 * MINUTE),
            ["waits for  watched 30m of 1h", "then       the end: succeeded", "+  full"],
        ),
        (
            replace(
                STATE,
                status=Status.ROLLED_BACK,
                attempt=2,
                memories=(
                    Memory(1, NOW - HOUR, Status.REJECTED, "rating is better by at most 1%"),
                ),
            ),
            ["rolled back", "attempt 2", "attempt 1", "rejected: rating is better by at most 1%"],
        ),
    ],
)
def test_every_state_says_what_comes_next(state: State, told: list[str]) -> None:
    text = status(state)
    for each in told:
        assert each in text


def a_decision(**changes: object) -> NumberedDecision:
    decision = Decision(
        time=NOW,
        action=Action.ROLL_BACK,
        actor="controller",
        why="latency_ms is worse by at least 12.0%; 10.0% is tolerated",
        before=STATE,
        after=replace(STATE, status=Status.ROLLING_BACK, share_ppm=0),
        stage="test",
        phase=9,
        verdict=Verdict.BREACH,
        units=1_234.0,
        measured=MEASURED,
    )
    return NumberedDecision(4, replace(decision, **changes), 17)  # type: ignore[arg-type]


def test_a_decision_is_a_line_or_a_row_of_the_log() -> None:
    line = decision_line(a_decision()).plain
    assert line.endswith(
        "roll back in test, 0 %: latency_ms is worse by at least 12.0%; 10.0% is tolerated"
    )
    approved = a_decision(verdict=None, units=None, measured=(), after=STATE, actor="anna")
    rows = printed(show_log([a_decision(), approved]), console(width=220)).splitlines()
    cells = [[cell.strip() for cell in row.split("│")[1:-1]] for row in rows if "│" in row]
    assert cells[0][3:10] == [
        "controller",
        "test",
        "9",
        "observing",
        "rolling back",
        "25 % → 0 %",
        "harm is shown",
    ]
    assert cells[1][3:10] == ["anna", "test", "9", "observing", "observing", "25 %", "–"]


def test_a_decision_is_explained_with_all_that_led_to_it() -> None:
    at = console()
    looks = [a_look(minutes) for minutes in (3, 2, 1)]
    lines = printed(show_decision(PLAN, a_decision(), looks, (), at), at).splitlines()
    assert lines[0].startswith("chat-v2: decision 4, roll back in test: latency_ms is worse by at")
    told = {line.split("  ")[0]: line.strip() for line in lines[1:10]}
    assert told["from"].endswith("observing to rolling back")
    assert told["share"].endswith("25 % → 0 %")
    assert told["phase"].endswith("9")
    assert told["revision"].endswith("17")
    assert told["units"].endswith("1,234 in the smaller arm")
    assert any(line.startswith("guardrail  latency_ms  -2.0%") for line in lines)
    (head,) = (line for line in lines if "change under the treatment" in line)
    assert head.startswith("latency_ms, change")  # the one that decided, not the others


def test_a_request_has_no_figures_to_explain() -> None:
    at = console()
    asked = a_decision(action=Action.PAUSE, why="pause, asked for by anna", measured=(), units=None)
    text = printed(show_decision(PLAN, replace(asked, revision=0), (), (), at), at)
    assert "the split stayed" in text
    assert "estimate and bounds" not in text


def test_a_plan_without_watch_ends_with_its_promotion() -> None:
    plan = replace(PLAN, goal=Goal(MetricName("rating")), watch=timedelta())
    text = status(replace(STATE, stage=3), plan=plan)
    assert (
        "promotion: v2 gets 100 %\n"
        in "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    )


def test_what_could_not_be_estimated_yet_is_not_drawn_over_time() -> None:
    unknown = (Measured("rating", "goal", None, None, None, 0.05),)
    at = console()
    looks = [a_look(minutes, unknown) for minutes in (3, 2, 1)]
    picture = Picture(Experiment(PLAN, STATE, 3, NOW, NOW), looks, ())
    assert "change under the treatment" not in printed(show_status(picture, at, NOW), at)
