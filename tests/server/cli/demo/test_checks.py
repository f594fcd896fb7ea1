"""The demo's promises: each check holds on what is right, and fails on each thing that is not."""

import pytest

from tests.server.cli.demo.reports import ledger_of, report_of
from tidegate_server.cli.demo.checks import check_events, check_units

V1, V2, V3 = "v1", "v2", "v3"
MOVES = ((V1, V2), (V2, V3), (V3, V2))


def test_moves_that_rollouts_make_are_counted() -> None:
    check = check_units(
        {
            "stays": ((1, V1), (2, V1)),
            "treated": ((1, V2),),
            "moves": ((1, V1), (2, V1), (3, V2)),
            "moves twice": ((1, V1), (2, V2), (3, V3), (4, V2)),
            "was away": ((1, V1), (3, V3)),
        },
        MOVES,
    )
    assert check.holds
    assert "except from v1 to v2, v2 to v3, v3 to v2: 5 units" in check.text
    assert "5 units watched, 5 moves, 0 otherwise" in check.text


@pytest.mark.parametrize(
    "history",
    [
        ((1, V2), (2, V1)),
        ((1, V1), (2, V2), (3, V1)),
        ((1, V1), (1, V2)),
        ((1, V3), (2, V1)),
        ((1, V2), (2, "v4")),
    ],
    ids=["back", "there and back", "two at one revision", "back past one", "elsewhere"],
)
def test_any_other_change_fails_the_check(history: tuple[tuple[int, str], ...]) -> None:
    check = check_units({"good": ((1, V1),), "bad": history}, MOVES)
    assert not check.holds
    assert "1 otherwise" in check.text
    assert "bad was given" in check.text


def test_many_wrong_units_are_not_all_listed() -> None:
    units = {f"user-{number}": ((1, V2), (2, V1)) for number in range(100)}
    check = check_units(units, MOVES)
    assert "100 otherwise" in check.text
    assert "and 95 more" in check.text


def test_nobody_watched_proves_nothing() -> None:
    assert not check_units({}, MOVES).holds


COUNTS = {(V1, ""): 3, (V1, "error"): 10, (V2, ""): 1, (V2, "error"): 4}


def test_equal_counts_hold() -> None:
    check = check_events(ledger_of(COUNTS), report_of(COUNTS))
    assert check.holds
    assert check.text.endswith("= 18")


@pytest.mark.parametrize("key", COUNTS)
@pytest.mark.parametrize("difference", [-1, 1])
def test_one_event_more_or_less_fails_the_check(key: tuple[str, str], difference: int) -> None:
    check = check_events(ledger_of(COUNTS), report_of({**COUNTS, key: COUNTS[key] + difference}))
    assert not check.holds
    assert f"{key[0]} {key[1] or 'exposures'}: reported {COUNTS[key]}" in check.text


def test_an_outcome_nobody_reported_fails_the_check() -> None:
    check = check_events(ledger_of(COUNTS), report_of({**COUNTS, (V2, "rating"): 1}))
    assert not check.holds
    assert "v2 rating: reported 0, aggregated 1" in check.text


@pytest.mark.parametrize("field", ["acknowledged", "dropped", "refused"])
def test_what_the_sdk_counts_must_agree(field: str) -> None:
    ledger = ledger_of(COUNTS)
    changed = ledger.model_copy(update={field: getattr(ledger, field) + 2})
    assert not check_events(changed, report_of(COUNTS)).holds


def test_nothing_reported_proves_nothing() -> None:
    assert not check_events(ledger_of({}), report_of({})).holds
