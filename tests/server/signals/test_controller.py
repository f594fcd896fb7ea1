"""What a controller tells of its work."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from tests.server.signals.scraping import Samples
from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.records import CONTROLLER, Action, Decision
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.signals.controller import (
    EXPERIMENTS,
    MOST_EXPERIMENTS,
    note_decision,
    note_experiments,
    note_failed_look,
    note_leadership,
    note_look,
)
from tidegate_server.signals.metrics import registry_of

OBSERVING = State(status=Status.OBSERVING, stage=1, share_ppm=250_000)
ROLL_BACK = Decision(
    time=datetime(2026, 7, 1, tzinfo=UTC),
    action=Action.ROLL_BACK,
    actor=CONTROLLER,
    why="error: 7.1 % exceeds the ceiling of 5 %",
    before=OBSERVING,
    after=replace(OBSERVING, status=Status.ROLLED_BACK, share_ppm=0),
    stage="test",
    phase=9,
    verdict=Verdict.BREACH,
    units=412.0,
)


def scrape() -> Samples:
    return Samples(generate_latest(registry_of("controller", "prod", EXPERIMENTS)).decode())


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    note_leadership(leads=False)


def test_a_decision_is_counted_and_is_one_line() -> None:
    before = scrape()
    with capture_logs() as lines:
        note_decision("chat-v2", ROLL_BACK, 12)
    name = "tidegate_controller_decisions_total"
    assert scrape().value(name, action="roll back") == before.value(name, action="roll back") + 1
    assert lines == [
        {
            "event": "decision",
            "log_level": "info",
            "experiment": "chat-v2",
            "action": "roll back",
            "actor": "controller",
            "why": "error: 7.1 % exceeds the ceiling of 5 %",
            "stage": "test",
            "before": "observing",
            "after": "rolled_back",
            "share": 0.0,
            "phase": 9,
            "revision": 12,
            "verdict": "breach",
            "units": 412.0,
        }
    ]


def test_a_command_has_no_verdict() -> None:
    with capture_logs() as (line):
        note_decision("chat-v2", replace(ROLL_BACK, action=Action.PAUSE, verdict=None))
    assert (line[0]["action"], line[0]["verdict"]) == ("pause", None)


def test_failed_looks_are_counted_and_named() -> None:
    before = scrape()
    with capture_logs() as lines:
        note_failed_look("chat-v2", TimeoutError())
    name = "tidegate_controller_failed_looks_total"
    assert scrape().value(name) == before.value(name) + 1
    assert (lines[0]["experiment"], lines[0]["cause"]) == ("chat-v2", "TimeoutError")


def test_looks_are_counted_by_verdict_and_timed() -> None:
    before = scrape()
    note_look(Verdict.PASS, 0.02)
    after = scrape()
    name = "tidegate_controller_verdicts_total"
    assert after.value(name, verdict="pass") == before.value(name, verdict="pass") + 1
    name = "tidegate_controller_look_duration_seconds"
    assert after.value(f"{name}_count") == before.value(f"{name}_count") + 1
    assert after.value(f"{name}_sum") == pytest.approx(before.value(f"{name}_sum") + 0.02)


def test_only_the_leader_tells_of_experiments_that_have_not_ended() -> None:
    assert scrape().value("tidegate_controller_leader") == 0
    note_leadership(leads=True)
    held = replace(OBSERVING, status=Status.HELD, share_ppm=50_000)
    note_experiments({"a": OBSERVING, "b": held, "c": ROLL_BACK.after})
    found = scrape()
    assert found.value("tidegate_controller_leader") == 1
    counts = found.all_of("tidegate_experiments")
    assert {status: count for status, count in counts.items() if count} == {
        ("observing",): 1,
        ("held",): 1,
    }
    assert ("paused",) in counts
    assert ("rolled_back",) not in counts
    assert found.all_of("tidegate_experiment_share_ratio") == {("a",): 0.25, ("b",): 0.05}
    note_leadership(leads=False)
    assert not scrape().all_of("tidegate_experiments")


def test_the_number_of_experiments_is_bounded() -> None:
    note_leadership(leads=True)
    note_experiments({f"e-{number:04}": OBSERVING for number in range(MOST_EXPERIMENTS + 50)})
    found = scrape()
    assert len(found.all_of("tidegate_experiment_share_ratio")) == MOST_EXPERIMENTS
    assert found.value("tidegate_experiments", status="observing") == MOST_EXPERIMENTS + 50
