"""Options of charts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidegate_server.dashboard import charts
from tidegate_server.dashboard.charts import Bounded, Limit, Line, Mark

START = datetime(2026, 7, 1, 12, tzinfo=UTC)
WINDOW = timedelta(seconds=10)


def at(place: int) -> datetime:
    return START + place * WINDOW


def ms(place: int) -> int:
    return int(at(place).timestamp() * 1_000)


def line(*places: int, name: str = "v1") -> Line:
    return Line(name, [(at(place), place / 8) for place in places])


def chart(*lines: Line, **options: Any) -> charts.Options:
    return charts.time_chart(
        lines, start=START, end=at(60), window=WINDOW, **{"utc": True} | options
    )


def test_lines_are_broken_where_windows_are_missing() -> None:
    data = chart(line(0, 1, 4, 5))["series"][0]["data"]
    assert data == [[ms(0), 0.0], [ms(1), 0.125], [ms(2), None], [ms(4), 0.5], [ms(5), 0.625]]


def test_parts_are_shown_in_percent() -> None:
    made = chart(line(1), percent=True)
    assert made["series"][0]["data"] == [[ms(1), 12.5]]
    assert made["yAxis"]["axisLabel"]["formatter"] == "{value} %"


def test_few_points_are_shown_themselves() -> None:
    assert chart(line(3))["series"][0]["symbol"] == "circle"
    assert chart(line(*range(60)))["series"][0]["symbol"] == "none"


def test_marks_beyond_the_time_shown_are_left_out() -> None:
    marks = [Mark(at(-1), "before"), Mark(at(7), "25 %"), Mark(at(61), "after")]
    made = chart(line(1), line(2), marks=marks)
    assert made["series"][0]["markLine"]["data"] == [{"name": "25 %", "xAxis": ms(7)}]
    assert "markLine" not in made["series"][1]
    assert chart(marks=marks)["series"] == []


def test_variants_differ_in_colour_and_quantiles_in_dash() -> None:
    lines = [Line("a", [], color, dash) for color in range(7) for dash in range(3)]
    styles = [each["lineStyle"] for each in chart(*lines)["series"]]
    assert len({style["color"] for style in styles}) == len(charts.PALETTE)
    assert [style["type"] for style in styles[:3]] == ["solid", "dashed", "dotted"]


def test_a_sequence_has_a_band_its_bounds_and_its_limits_in_sight() -> None:
    looks = [
        Bounded(at(0), None, None, None),
        Bounded(at(1), 0.02, None, None),
        Bounded(at(2), 0.01, -0.04, 0.06),
        Bounded(at(3), 0.02, -0.01, 0.05),
    ]
    limits = [Limit("margin", 0.25, harm=False), Limit("rolls back", 0.35, harm=True)]
    made = charts.sequence_chart(looks, limits, utc=True)
    floor, band, lower, upper, value = made["series"]
    assert value["data"] == [[ms(0), None], [ms(1), 2.0], [ms(2), 1.0], [ms(3), 2.0]]
    assert floor["data"] == lower["data"] == [[ms(2), -4.0], [ms(3), -1.0]]
    assert upper["data"] == [[ms(2), 6.0], [ms(3), 5.0]]
    assert band["data"] == [[ms(2), 10.0], [ms(3), 6.0]], "stacked upon the floor"
    assert made["yAxis"]["min"] < -4
    assert made["yAxis"]["max"] > 35
    marked = value["markLine"]["data"]
    assert [each["label"]["formatter"] for each in marked] == ["margin 25 %", "rolls back 35 %"]
    assert [each["lineStyle"]["type"] for each in marked] == ["solid", "dashed"]


def test_limits_that_are_equal_are_named_side_by_side() -> None:
    limits = [Limit("margin", 0.25, harm=False), Limit("rolls back", 0.25, harm=True)]
    marked = charts.sequence_chart([], limits, utc=True)["series"][-1]["markLine"]["data"]
    assert len({each["label"]["position"] for each in marked}) == 2


def test_early_bounds_do_not_hide_the_present_ones() -> None:
    looks = [Bounded(at(0), 0.5, -0.9, 400.0), Bounded(at(1), 0.01, -0.05, 0.07)]
    axis = charts.sequence_chart(looks, [Limit("margin", 0.1, harm=False)], utc=True)["yAxis"]
    assert axis["min"] < -5
    assert 10 < axis["max"] < 100


def test_a_sequence_of_nothing_is_an_empty_chart() -> None:
    made = charts.sequence_chart([], [], utc=True)
    assert all(not each["data"] for each in made["series"])


def test_p_values_keep_to_the_scale() -> None:
    made = charts.level_chart(
        Line("p", [(at(0), 1.0), (at(1), 0.0)]), Limit("alarm", 0.001, harm=True), utc=True
    )
    assert made["series"][0]["data"] == [[ms(0), 1.0], [ms(1), 1e-6]]
    assert (made["yAxis"]["type"], made["yAxis"]["min"]) == ("log", 1e-6)
    assert made["series"][1]["data"] == [[ms(0), 0.001], [ms(1), 0.001]], "the alarm"


def test_shares_hold_until_the_next_change_and_until_now() -> None:
    made = charts.steps_chart(
        ["v1", "v2"], [(at(0), (0.95, 0.05)), (at(90), (0.75, 0.25))], at(100), utc=False
    )
    assert [each["data"] for each in made["series"]] == [
        [[ms(0), 95.0], [ms(90), 75.0], [ms(100), 75.0]],
        [[ms(0), 5.0], [ms(90), 25.0], [ms(100), 25.0]],
    ]
    assert made["series"][1]["step"] == "end"
    assert not made["useUTC"]
    assert charts.steps_chart([], [], at(0), utc=True)["series"] == []


def test_few_values_are_bars_and_many_an_area() -> None:
    bars = charts.density_chart(
        [("v1", 0, [(1.0, 0.5), (5.0, 0.5)]), ("v2", 1, [(5.0, 1.0)])], discrete=True
    )
    assert bars["xAxis"]["data"] == ["1", "5"]
    assert [each["data"] for each in bars["series"]] == [[50.0, 50.0], [0.0, 100.0]]
    area = charts.density_chart([("v1", 0, [(1.5, 0.25), (2.5, 0.75)])], discrete=False)
    assert area["series"][0]["data"] == [[1.5, 25.0], [2.5, 75.0]]
    assert (area["xAxis"]["min"], area["xAxis"]["max"]) == (1.5, 2.5)


def test_differences_are_shown_by_percentile_with_intervals() -> None:
    made = charts.quantile_chart([("v2", 1, [0.5] * 99)], [(1, 95.0, 0.1, 0.9)])
    line_, interval = made["series"]
    assert line_["data"][0] == [1, 0.5]
    assert line_["data"][-1] == [99, 0.5]
    assert interval["data"] == [[95.0, 0.1], [95.0, 0.9]]
    assert interval["lineStyle"]["color"] == line_["lineStyle"]["color"]


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item)


@pytest.mark.parametrize("name", [":constructor", "<img src=x onerror=alert(1)>", "{{7*7}}"])
def test_no_name_becomes_a_key(name: str) -> None:
    """NiceGUI runs the values of keys that begin with a colon."""
    made = [
        chart(line(1, 2, name=name), marks=[Mark(at(1), name)]),
        charts.steps_chart([name], [(at(0), [1.0])], at(1), utc=True),
        charts.density_chart([(name, 0, [(1.0, 1.0)])], discrete=True),
        charts.quantile_chart([(name, 0, [0.0] * 99)], []),
    ]
    assert all(
        name not in keys(each) and not key.startswith(":") for each in made for key in keys(each)
    )
