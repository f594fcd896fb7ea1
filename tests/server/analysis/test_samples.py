import numpy as np
import pytest

from tidegate_server.analysis.samples import fold_units, sample, sample_of_ids, unit_totals


def test_events_are_summed_by_unit() -> None:
    totals = unit_totals(sample([2, 0, 2], [1.5, 4.0, -0.5], 4))
    assert totals.count.tolist() == [1, 0, 2, 0]
    assert totals.total.tolist() == [4.0, 0.0, 1.0, 0.0]
    assert totals.units == 4


def test_units_may_be_given_by_id() -> None:
    events = sample_of_ids(["c", "a", "b", "a"], ["b", "c", "b"], [1, 2, 3])
    assert events.units == 3
    assert unit_totals(events).total.tolist() == [0.0, 4.0, 2.0]


def test_no_events_and_no_units() -> None:
    assert sample_of_ids([], [], []).units == 0
    assert sample([], []).units == 0
    assert unit_totals(sample([], [], 3)).count.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("unit", "values", "units", "message"),
    [
        ([0, 1], [1.0], None, "one length"),
        ([0.5], [1.0], None, "whole numbers"),
        ([0], [np.nan], None, "finite"),
        ([-1], [1.0], None, "indexes"),
        ([3], [1.0], 3, r"in \[0, 3\)"),
    ],
)
def test_what_is_wrong_is_named(
    unit: list[float], values: list[float], units: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sample(unit, values, units)


def test_events_of_units_that_were_not_exposed_are_refused() -> None:
    with pytest.raises(ValueError, match="2 events are of units"):
        sample_of_ids(["a"], ["a", "b", "c"], [1, 2, 3])
    with pytest.raises(ValueError, match="1 events are of units"):
        sample_of_ids([], ["b"], [1])


def test_columns_share_their_counts() -> None:
    unit = np.array([0, 0, 1])
    folded = fold_units(unit, {"a": np.array([1.0, 2.0, 3.0]), "b": np.zeros(3)}, 2)
    assert folded["a"].count is folded["b"].count
    assert folded["a"].total.tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="indexes"):
        fold_units(unit, {}, 1)
    with pytest.raises(ValueError, match="finite"):
        fold_units(unit, {"a": np.array([1.0, np.inf, 3.0])}, 2)
