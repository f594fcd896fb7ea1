import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_server.cli.experiments.drawing import (
    Interval,
    Limits,
    bar,
    chart,
    common_scale,
    interval_bar,
)
from tidegate_server.cli.experiments.marks import ASCII, UNICODE

EFFECTS = st.floats(-0.99, 50.0)


@pytest.mark.parametrize(
    ("part", "drawn"),
    [
        (0.0, "........"),
        (0.5, "####...."),
        (1.0, "########"),
        (7.0, "########"),
        (-1.0, "........"),
    ],
)
def test_a_bar_is_full_to_its_part(part: float, drawn: str) -> None:
    assert bar(part, 8, ASCII) == drawn


def test_an_interval_is_drawn_with_its_limits_to_scale() -> None:
    drawn = interval_bar(Interval(0.1, 0.2, 0.3), Limits(0.05, -0.1), (-0.1, 0.3), 41, ASCII)
    assert drawn == "X         |    T    [---------o---------]"
    drawn = interval_bar(Interval(-0.2, 0.2, 0.5), Limits(0.1), (-0.1, 0.3), 41, UNICODE)
    assert drawn == "├─────────┊─────────◆─────────●─────────┤"


def test_intervals_over_time_stand_beside_each_other() -> None:
    intervals = [None, Interval(-0.09, 0.0, 0.09), Interval(0.0, 0.04, 0.09)]
    assert chart(intervals, Limits(0.03), 7, ASCII) == [
        "+9.4%  ::",
        "+6.2%  ::",
        "+3.1% -:o",
        "+0.0% |o:",
        "-3.1%  :",
        "-6.2%  :",
        "-9.4%  :",
    ]


@given(st.lists(st.tuples(EFFECTS, EFFECTS, EFFECTS).map(sorted), max_size=5), EFFECTS)
def test_whatever_is_known_can_be_drawn(ends: list[list[float]], wanted: float) -> None:
    intervals, limits = [Interval(*each) for each in ends], Limits(wanted, -wanted)
    low, high = common_scale(intervals, limits)
    assert low < min(0.0, wanted, -wanted, *(each.value for each in intervals), 0.0)
    assert high > max(0.0, wanted, -wanted, *(each.value for each in intervals), 0.0)
    lines = chart([*intervals, None], limits, 9, UNICODE)
    assert len(lines) == 9
    assert len({line.index("%") for line in lines}) == 1
    for each in intervals:
        drawn = interval_bar(each, limits, (low, high), 30, UNICODE)
        assert len(drawn) <= 30
        assert UNICODE.point in drawn
