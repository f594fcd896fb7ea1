"""The demo is drawn live on terminals, and written as lines elsewhere."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from tests.server.cli.demo.reports import report_of
from tests.server.domain.experiments.samples import HOUR, MINUTE, NOW, PERCENT, PLAN
from tidegate_server.cli.demo.view import LiveView, PlainView, new_view
from tidegate_server.domain.experiments.records import CONTROLLER, Action, Decision
from tidegate_server.domain.experiments.state import State, Status

STATE = State(Status.OBSERVING, stage=1, share_ppm=25 * PERCENT, baked=15 * MINUTE)
DECISION = Decision(
    NOW, Action.ENTER, CONTROLLER, "test is ready: v2 has 25 %", STATE, STATE, "test", 4
)


@pytest.mark.parametrize("terminal", [True, False])
def test_decisions_and_the_table_are_shown(terminal: bool) -> None:
    out = StringIO()
    console = Console(file=out, width=150, force_terminal=terminal, _environ={"TERM": "xterm"})
    with new_view(console) as view:
        assert isinstance(view, LiveView if terminal else PlainView)
        view.decided(PLAN, DECISION)
        view.show(PLAN, STATE, report_of({("v1", ""): 123, ("v2", ""): 45}))
        view.leave()
    said = out.getvalue()
    assert "12:00:00  test    enter        test is ready: v2 has 25 %" in said
    assert "123" in said


@pytest.mark.parametrize(
    ("state", "done"),
    [
        (State(Status.PREFLIGHT), "  0 %"),
        (STATE, " 30 %"),
        (replace(STATE, stage=3, status=Status.WATCHING, baked=HOUR / 2), " 90 %"),
        (replace(STATE, status=Status.ROLLED_BACK), "100 %"),
    ],
)
def test_the_bar_goes_through_stages_and_watch(state: State, done: str) -> None:
    out = StringIO()
    console = Console(file=out, width=150, force_terminal=True, _environ={"TERM": "xterm"})
    with new_view(console) as view:
        view.show(PLAN, state, report_of({("v1", ""): 1}))
    assert done in out.getvalue()


def test_plain_lines_have_no_control_characters() -> None:
    out = StringIO()
    with new_view(Console(file=out, width=150)) as view:
        view.show(PLAN, STATE, report_of({("v1", ""): 1}))
        assert out.getvalue() == ""
        view.leave()
    assert "\x1b" not in out.getvalue()
