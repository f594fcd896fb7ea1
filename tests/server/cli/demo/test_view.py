"""The demo is drawn live on terminals, and written as lines elsewhere."""

from io import StringIO

import pytest
from rich.console import Console

from tests.server.cli.demo.reports import report_of
from tidegate_server.cli.demo.view import LiveView, PlainView, new_view


@pytest.mark.parametrize("terminal", [True, False])
def test_stage_and_table_are_shown(terminal: bool) -> None:
    out = StringIO()
    console = Console(file=out, width=150, force_terminal=terminal, _environ={"TERM": "xterm"})
    with new_view(console) as view:
        assert isinstance(view, LiveView if terminal else PlainView)
        view.enter("canary: v2 at 5 %")
        view.show(0.25, report_of({("v1", ""): 123, ("v2", ""): 45}))
        view.leave()
    said = out.getvalue()
    assert "canary: v2 at 5 %" in said
    assert "123" in said
    assert ("25 %" in said) is terminal


def test_plain_lines_have_no_control_characters() -> None:
    out = StringIO()
    with new_view(Console(file=out, width=150)) as view:
        view.enter("test: v2 at 25 %")
        view.show(0.5, report_of({("v1", ""): 1}))
        assert out.getvalue() == "test: v2 at 25 %\n"
        view.leave()
    assert "\x1b" not in out.getvalue()
