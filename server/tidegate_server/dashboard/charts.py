"""Charts: values → options of ECharts. No text of people's stands in a key, none is a template."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Options = dict[str, Any]

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that the colour-blind can tell apart (Okabe and Ito), by the variant's place."""

DASHES = ("solid", "dashed", "dotted")
"""Of p50, p95 and p99."""

_GRID = "rgba(128, 140, 155, 0.22)"
_AXIS = "rgba(128, 140, 155, 0.55)"
_SIGNIFICANT = 5
_LEAST = timedelta(minutes=10)
"""Shares are shown over so long a time at least."""

_FEW_POINTS = 40


@dataclass(frozen=True, slots=True)
class Line:
    """A line over time. color: the variant's place. dash: into DASHES."""

    name: str
    points: Sequence[tuple[datetime, float]]
    color: int = 0
    dash: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a moment."""

    time: datetime
    name: str


def colour(place: int) -> str:
    """Return the colour of the variant at this place."""
    return PALETTE[place % len(PALETTE)]


def time_chart(
    lines: Sequence[Line],
    *,
    start: datetime,
    end: datetime,
    window: timedelta,
    utc: bool,
    from_zero: bool = False,
    percent: bool = False,
    marks: Sequence[Mark] = (),
) -> Options:
    """Return lines over time; where windows are missing, they are broken.

    percent: values are parts of 1. marks: vertical lines.
    """
    factor = 100.0 if percent else 1.0
    series: list[Options] = [
        {
            **_line(each.name, colour(each.color), DASHES[each.dash]),
            **_dots(len(each.points)),
            "data": list(_with_gaps(each.points, window, factor)),
        }
        for each in lines
    ]
    if series and marks:
        series[0]["markLine"] = _moments([mark for mark in marks if start <= mark.time <= end])
    return {
        **_base(utc),
        "xAxis": _time_axis(start, end),
        "yAxis": _value_axis(percent=percent, from_zero=from_zero),
        "series": series,
    }


@dataclass(frozen=True, slots=True)
class Bounded:
    """An estimate with its bounds at a moment; None: not estimable."""

    time: datetime
    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Limit:
    """A line that an estimate must, or must not, cross."""

    name: str
    value: float
    harm: bool


def sequence_chart(
    looks: Sequence[Bounded], limits: Sequence[Limit], *, utc: bool, percent: bool = True
) -> Options:
    """Return an estimate over time, the band of its bounds, and its limits."""
    factor = 100.0 if percent else 1.0
    band = [each for each in looks if each.lower is not None and each.upper is not None]
    lower = [[_ms(each.time), _round((each.lower or 0.0) * factor)] for each in band]
    spread = [
        [_ms(each.time), _round(((each.upper or 0.0) - (each.lower or 0.0)) * factor)]
        for each in band
    ]
    upper = [[_ms(each.time), _round((each.upper or 0.0) * factor)] for each in band]
    value = [
        [_ms(each.time), None if each.value is None else _round(each.value * factor)]
        for each in looks
    ]
    ends = [end[1] for ends in (lower, upper, value) for end in ends if end[1] is not None]
    hidden = {"symbol": "none", "lineStyle": {"opacity": 0}, "tooltip": {"show": False}}
    stacked = {"type": "line", "stack": "band", "stackStrategy": "all", "silent": True, **hidden}
    thin = {"type": "line", "symbol": "none", "lineStyle": {"color": PALETTE[0], "width": 1}}
    return {
        **_base(utc),
        "xAxis": _time_axis(),
        "yAxis": {**_value_axis(percent=percent), **_holding(ends, limits, factor)},
        "series": [
            {**stacked, "name": "floor", "data": lower},
            {
                **stacked,
                "name": "band",
                "data": spread,
                "areaStyle": {"color": PALETTE[0], "opacity": 0.16},
            },
            {**thin, "name": "lower bound", "data": lower},
            {**thin, "name": "upper bound", "data": upper},
            {
                **_line("estimate", PALETTE[0], "solid"),
                "data": value,
                "markLine": _levels(limits, factor, percent=percent),
            },
        ],
    }


def level_chart(line: Line, limit: Limit, *, utc: bool) -> Options:
    """Return p-values over time, on a scale of orders of magnitude, and what they may not reach."""
    lowest = 1e-6
    data = [[_ms(time), _round(max(value, lowest))] for time, value in line.points]
    return {
        **_base(utc),
        "xAxis": _time_axis(),
        "yAxis": {**_value_axis(), "type": "log", "min": lowest, "max": 1},
        "series": [
            {
                **_line(line.name, colour(line.color), "solid"),
                **_dots(len(data)),
                "data": data,
                "markLine": _levels([limit], 1.0),
            }
        ],
    }


def steps_chart(
    names: Sequence[str],
    moments: Sequence[tuple[datetime, Sequence[float]]],
    end: datetime,
    *,
    utc: bool,
) -> Options:
    """Return shares over time, stacked: each holds from its moment until the next. Parts of 1."""
    held = [*moments, (end, moments[-1][1])] if moments else []
    return {
        **_base(utc),
        "xAxis": _time_axis(min([end - _LEAST, *(time for time, _ in held)]), end),
        "yAxis": {**_value_axis(percent=True, from_zero=True), "max": 100, "interval": 25},
        "series": [
            {
                **_line(name, colour(place), "solid"),
                "step": "end",
                "stack": "shares",
                "areaStyle": {"color": colour(place), "opacity": 0.35},
                "data": [[_ms(time), _round(shares[place] * 100)] for time, shares in held],
            }
            for place, name in enumerate(names)
        ],
    }


def density_chart(
    lines: Sequence[tuple[str, int, Sequence[tuple[float, float]]]], *, discrete: bool
) -> Options:
    """Return how values are distributed: for each variant its name, place and (value, part of 1).

    discrete: only these values occur.
    """
    if discrete:
        values = sorted({value for _, _, points in lines for value, _ in points})
        axis: Options = {
            "type": "category",
            "data": [f"{value:g}" for value in values],
            "axisLine": {"lineStyle": {"color": _AXIS}},
        }
        series = [
            {
                "type": "bar",
                "name": name,
                "itemStyle": {"color": colour(place)},
                "data": [_round(100 * dict(points).get(value, 0.0)) for value in values],
            }
            for name, place, points in lines
        ]
    else:
        ends = [_round(value) for _, _, points in lines for value, _ in points]
        limits = {"min": min(ends), "max": max(ends)} if ends else {}
        axis = {**_value_axis(), "splitLine": {"show": False}, **limits}
        series = [
            {
                **_line(name, colour(place), "solid"),
                "step": "end",
                "areaStyle": {"color": colour(place), "opacity": 0.15},
                "data": [[_round(value), _round(100 * part)] for value, part in points],
            }
            for name, place, points in lines
        ]
    return {
        **_base(utc=True),
        "xAxis": axis,
        "yAxis": _value_axis(percent=True, from_zero=True),
        "series": series,
    }


def quantile_chart(
    lines: Sequence[tuple[str, int, Sequence[float]]],
    intervals: Sequence[tuple[int, float, float, float]],
) -> Options:
    """Return differences of percentiles: for each treatment its name, place and 99 of them.

    intervals: place, percentile, lower and upper end.
    """
    series: list[Options] = [
        {
            **_line(name, colour(place), "solid"),
            "data": [[percent, _round(value)] for percent, value in enumerate(values, 1)],
        }
        for name, place, values in lines
    ]
    if series:
        series[0]["markLine"] = _levels([Limit("no difference", 0.0, harm=False)], 1.0)
    for place, percent, lower, upper in intervals:
        series.append(
            {
                "type": "line",
                "name": f"95 % interval at p{percent:g}",
                "data": [[percent, _round(lower)], [percent, _round(upper)]],
                "symbol": "rect",
                "symbolSize": [11, 2],
                "lineStyle": {"color": colour(place), "width": 2},
                "itemStyle": {"color": colour(place)},
            }
        )
    return {
        **_base(utc=True),
        "xAxis": {
            **_value_axis(),
            "min": 0,
            "max": 100,
            "name": "percentile",
            "nameLocation": "middle",
            "nameGap": 26,
        },
        "yAxis": _value_axis(),
        "series": series,
    }


def _holding(ends: Sequence[float], limits: Sequence[Limit], factor: float) -> Options:
    """Return an axis that holds all values and limits, with some room beside."""
    shown = [*ends, *(limit.value * factor for limit in limits)]
    if not shown:
        return {}
    room = 0.08 * (max(shown) - min(shown)) or 1.0
    return {"min": _round(min(shown) - room, 3), "max": _round(max(shown) + room, 3)}


def _base(utc: bool) -> Options:
    return {
        "useUTC": utc,
        "animation": False,
        "aria": {"enabled": False},  # the page names each chart, and shows its figures as text
        "textStyle": {"fontFamily": "inherit", "fontSize": 11},
        "grid": {"left": 6, "right": 14, "top": 12, "bottom": 6, "containLabel": True},
        "tooltip": {"trigger": "axis", "confine": True, "transitionDuration": 0},
    }


def _time_axis(start: datetime | None = None, end: datetime | None = None) -> Options:
    limits = {} if start is None or end is None else {"min": _ms(start), "max": _ms(end)}
    return {
        "type": "time",
        **limits,
        "axisLine": {"lineStyle": {"color": _AXIS}},
        "axisTick": {"lineStyle": {"color": _AXIS}},
        "splitNumber": 6,
        "axisLabel": {"hideOverlap": True, "fontSize": 11},
    }


def _value_axis(*, percent: bool = False, from_zero: bool = False) -> Options:
    return {
        "type": "value",
        "scale": not from_zero,
        "splitNumber": 4,
        "axisLabel": {"fontSize": 11, **({"formatter": "{value} %"} if percent else {})},
        "splitLine": {"lineStyle": {"color": _GRID}},
    }


def _line(name: str, color: str, dash: str) -> Options:
    return {
        "type": "line",
        "name": name,
        "symbol": "none",
        "lineStyle": {"color": color, "width": 1.6, "type": dash},
        "itemStyle": {"color": color},
    }


def _moments(marks: Iterable[Mark]) -> Options:
    return {
        "symbol": "none",
        "silent": True,
        "lineStyle": {"color": _AXIS, "type": "solid", "width": 1},
        "label": {
            "formatter": "{b}",
            "fontSize": 10,
            "position": "insideEndTop",
            "textBorderWidth": 0,
        },
        "data": [{"name": mark.name, "xAxis": _ms(mark.time)} for mark in marks],
    }


def _levels(limits: Iterable[Limit], factor: float, *, percent: bool = False) -> Options:
    unit = " %" if percent else ""
    return {
        "symbol": "none",
        "silent": True,
        "data": [
            {
                "name": limit.name,
                "yAxis": _round(limit.value * factor),
                "lineStyle": {
                    "color": PALETTE[1] if limit.harm else PALETTE[2],
                    "type": "dashed" if limit.harm else "solid",
                    "width": 1.4,
                },
                "label": {
                    "formatter": f"{limit.name} {_round(limit.value * factor):g}{unit}",
                    "position": "insideStartTop",
                    "fontSize": 10,
                    "textBorderWidth": 0,
                },
            }
            for limit in limits
        ],
    }


def _dots(points: int) -> Options:
    """Show the points themselves where there are few: one alone is no line."""
    return {"symbol": "circle", "symbolSize": 4} if points < _FEW_POINTS else {}


def _with_gaps(
    points: Sequence[tuple[datetime, float]], window: timedelta, factor: float
) -> Iterator[list[float | None]]:
    before: datetime | None = None
    for time, value in points:
        if before is not None and time - before > 1.5 * window:
            yield [_ms(before + window), None]
        before = time
        yield [_ms(time), _round(value * factor)]


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1_000)


def _round(value: float, digits: int = _SIGNIFICANT) -> float:
    return float(f"{value:.{digits}g}")
