"""Charts of figures over time."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tidegate_server.dashboard.charts.parts import (
    DASHES,
    PALETTE,
    Limit,
    Line,
    Mark,
    Options,
    base,
    colour,
    dots,
    line_series,
    moments,
    ms,
    rounded,
    time_axis,
    value_axis,
    with_gaps,
)

_LEAST = timedelta(minutes=10)
"""Shares are shown over so long a time at least."""


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
            **line_series(each.name, colour(each.color), DASHES[each.dash]),
            **dots(len(each.points)),
            "data": list(with_gaps(each.points, window, factor)),
        }
        for each in lines
    ]
    if series and marks:
        series[0]["markLine"] = moments([mark for mark in marks if start <= mark.time <= end])
    return {
        **base(utc),
        "xAxis": time_axis(start, end),
        "yAxis": value_axis(percent=percent, from_zero=from_zero),
        "series": series,
    }


def level_chart(line: Line, limit: Limit, *, utc: bool) -> Options:
    """Return p-values over time, on a scale of orders of magnitude, and what they may not reach."""
    lowest = 1e-6
    data = [[ms(time), rounded(max(value, lowest))] for time, value in line.points]
    return {
        **base(utc),
        "xAxis": time_axis(),
        "yAxis": {**value_axis(), "type": "log", "min": lowest, "max": 1},
        "series": [
            {
                **line_series(line.name, colour(line.color), "solid"),
                **dots(len(data)),
                "data": data,
            },
            {  # a markLine is not drawn on an axis of this kind
                **line_series(limit.name, PALETTE[1], "dashed"),
                "data": [[time, limit.value] for time, _ in (*data[:1], *data[-1:])],
            },
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
        **base(utc),
        "xAxis": time_axis(min([end - _LEAST, *(time for time, _ in held)]), end),
        "yAxis": {**value_axis(percent=True, from_zero=True), "max": 100, "interval": 25},
        "series": [
            {
                **line_series(name, colour(place), "solid"),
                "step": "end",
                "stack": "shares",
                "areaStyle": {"color": colour(place), "opacity": 0.35},
                "data": [[ms(time), rounded(shares[place] * 100)] for time, shares in held],
            }
            for place, name in enumerate(names)
        ],
    }
