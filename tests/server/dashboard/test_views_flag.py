"""What a flag's page shows."""

from datetime import timedelta

import pytest

from tests.server.cli.test_report import a_report
from tests.server.dashboard.tables import UTC_ZONE, column, every_cell_is_json, stored, texts
from tests.server.domain.experiments.samples import NOW
from tidegate.v1 import assignment_service_pb2, flag_pb2, flag_service_pb2
from tidegate_server import report_text
from tidegate_server.cli.flag_texts import FlagTexts
from tidegate_server.dashboard.views import flag
from tidegate_server.errors import ConfigurationError

TEXTS = FlagTexts()


def test_targeting_is_told_in_the_order_in_which_it_is_looked_at() -> None:
    table = flag.targeting_table(stored())
    every_cell_is_json(table)
    assert column(table, "step") == [
        *("kill switch", "overrides", "prerequisite", "holdout", "layer", "rule", "rule"),
        *("enrolment", "split"),
    ]
    applies = column(table, "applies to")
    assert applies[1] == "anna → v2"
    assert applies[2] == "units it does not give open or wide"
    assert applies[5] == "team in ('eval', 'ops') age > 3"
    assert applies[7] == "20 % of the units"
    assert applies[8] == "all others, by account"
    serves = column(table, "serves")
    assert serves[6] == "v1 10 %, v2 90 %"
    assert serves[8] == "v1 75 %, v2 25 %"


def revisions(*flags: flag_pb2.Flag | int) -> list[flag_service_pb2.FlagRevision]:
    """Return a history, the latest first; a number: deleted at that revision."""
    return [
        flag_service_pb2.FlagRevision(revision=each)
        if isinstance(each, int)
        else flag_service_pb2.FlagRevision(revision=each.revision, flag=each)
        for each in flags
    ]


def test_changes_are_told_against_the_revision_before() -> None:
    renamed = stored(9)
    renamed.description = "new"
    history = revisions(renamed, stored(8, v1=50, v2=50), 5, stored(4, v1=75, v2=25))
    table = flag.changes_table(history, TEXTS, UTC_ZONE)
    every_cell_is_json(table)
    assert column(table, "revision") == ["9", "8", "5", "4"]
    changed = column(table, "what changed")
    assert "+ description: new" in changed[0]
    assert "~ split.v1: 50% → 75%" in changed[0]
    assert changed[1:] == ["created again", "deleted", "the first that is known"]


def test_changes_of_split_and_kill_switch_are_marked() -> None:
    killed = stored(9)
    killed.killed = True
    killed.phase = 8
    marks = flag.marks(revisions(killed, stored(8), stored(7)))
    assert [mark.name for mark in marks] == ["killed", "split"]
    assert flag.marks(revisions(stored(8), 7, stored(6))) == []


def test_the_split_is_drawn_as_it_was_given() -> None:
    killed = stored(9)
    killed.killed = True
    end = NOW + timedelta(hours=1)
    history = revisions(killed, stored(8, v1=50, v2=50), stored(7))
    made = flag.shares_chart(history, end, UTC_ZONE)
    assert [[value for _, value in each["data"]] for each in made["series"]] == [
        [75.0, 50.0, 100.0, 100.0],
        [25.0, 50.0, 0.0, 0.0],
    ]
    assert flag.shares_chart(None, end, UTC_ZONE)["series"] == []


def watching(*groups: tuple[str, int, int]) -> assignment_service_pb2.ListWatchersResponse:
    made = assignment_service_pb2.ListWatchersResponse(process="host:1", revision=9)
    for name, revision, count in groups:
        made.groups.add(client_name=name, revision=revision, count=count)
    return made


def test_who_has_which_revision_is_counted() -> None:
    found = watching(("web", 9, 3), ("web", 6, 1), ("", 7, 2), ("tidegate dashboard", 9, 1))
    words = flag.reached_words(found, stored(7))
    assert words.startswith("5 of 6 connected SDKs")
    assert "host:1 alone" in words
    table = flag.watchers_table(found, stored(7))
    assert column(table, "has this flag") == ["as it is now", "older", "as it is now"]
    assert column(table, "client") == ["web", "web", "(no name)"]
    alone = watching(("tidegate dashboard", 9, 1))
    assert flag.reached_words(alone, stored()).startswith("No SDK is connected")
    assert flag.watchers_table(alone, stored()).rows == []
    assert flag.reached_words(None, stored()) == "Not known yet."


def test_variants_have_the_very_figures_of_the_report() -> None:
    report = a_report()
    table = flag.variants_table(stored(), report)
    every_cell_is_json(table)
    for row, variant in zip(texts(table), report.variants, strict=True):
        assert row[1:-1] == report_text.variant_cells(report, variant)
    assert column(table, "value") == ['{"model": "a"}', '{"model": "b"}']
    assert texts(table)[0][0] == "v1 (default)"
    assert flag.variants_table(stored(), None).rows == []


def test_flag_files_are_read_and_written_for_the_dashboard() -> None:
    current = stored()
    text = TEXTS.write(current)
    assert TEXTS.changes(current, TEXTS.read(text, current)) == []
    changed = TEXTS.read(text.replace("v1: 75%, v2: 25%", "v1: 70%, v2: 30%"), current)
    assert changed.revision == current.revision
    assert TEXTS.changes(current, changed) == [
        "~ split.v1: 75% → 70%",
        "~ split.v2: 25% → 30%",
    ]
    with pytest.raises(ConfigurationError, match="flag:1:7: flag: is 'chat-model' here"):
        TEXTS.read(text.replace("flag: chat-model", "flag: other"), current)
    with pytest.raises(ConfigurationError, match="did you mean"):
        TEXTS.read(text + "descripton: x\n", current)


@pytest.mark.parametrize(
    ("shares", "problem"),
    [
        ({"a": "50", "b": "49"}, "add up to 99%"),
        ({"a": "x", "b": "50"}, "not a percentage"),
        ({"a": "101"}, "more than the whole"),
        ({"a": "-1"}, "not a percentage"),
    ],
)
def test_shares_that_are_none_are_named(shares: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        TEXTS.split(shares)


def test_shares_are_read_exactly() -> None:
    split = TEXTS.split({"a": "99.9999", "b": " 0.0001 %"})
    assert [(each.variant, each.share_ppm) for each in split] == [("a", 999_999), ("b", 1)]
