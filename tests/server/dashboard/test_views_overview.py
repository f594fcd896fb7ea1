"""What the overview shows."""

from dataclasses import replace

from tests.server.dashboard.tables import UTC_ZONE, column, every_cell_is_json, stored
from tests.server.domain.experiments.samples import MINUTE, NOW, PLAN
from tidegate_server.dashboard.environment import Flags
from tidegate_server.dashboard.views import overview
from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.experiment_text import Tone


def test_experiments_that_need_somebody_come_first() -> None:
    def made(key: str, status: Status, minutes: int = 0) -> Experiment:
        state = State(status, since=NOW + minutes * MINUTE, reason=f"because of {key}")
        plan = replace(PLAN, key=ExperimentKey(key))
        return Experiment(plan, state, 1, NOW, NOW)

    known: dict[str, Experiment] = {
        each.plan.key: each
        for each in (
            made("over", Status.SUCCEEDED),
            made("draft", Status.DRAFT),
            made("old", Status.OBSERVING),
            made("new", Status.OBSERVING, 5),
            made("approve", Status.AWAITING_APPROVAL),
            made("back", Status.ROLLING_BACK),
            made("held", Status.HELD),
        )
    }
    table = overview.experiments_table("prod", known, UTC_ZONE)
    every_cell_is_json(table)
    order = ["back", "approve", "held", "new", "old", "draft", "over"]
    assert column(table, "experiment") == order
    assert [row.tone for row in table.rows][:4] == [Tone.BAD, Tone.WARN, Tone.WARN, Tone.PLAIN]
    assert table.rows[0].cells[0]["href"] == "/prod/experiments/back"
    assert column(table, "verdict")[-2:] == ["not looked yet", "because of over"]
    own = overview.experiments_table("prod", known, UTC_ZONE, "another-flag")
    assert own.rows == []
    assert "flag" not in [each.title for each in own.columns]


def test_flags_are_laid_out_by_key() -> None:
    killed = stored(9)
    killed.key, killed.killed = "z", True
    table = overview.flags_table("prod", Flags(9, {"chat-model": stored(), "z": killed}), UTC_ZONE)
    every_cell_is_json(table)
    assert column(table, "flag") == ["chat-model", "z"]
    assert column(table, "state") == ["on", "killed"]
    assert column(table, "split")[0] == "v1 75 %, v2 25 %"
    assert overview.flags_table("prod", None, UTC_ZONE).rows == []
