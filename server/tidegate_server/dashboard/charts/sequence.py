"""The chart of a confidence sequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tidegate_server.dashboard.charts.parts import (
    PALETTE,
    Limit,
    Options,
    base,
    levels,
    line_series,
    ms,
    rounded,
    time_axis,
    value_axis,
)

_BEYOND = 1.5
"""So many times the distance between what must be seen is shown beyond it, at most."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """An estimate with its bounds at a moment; None: not estimable."""

    time: datetime
    value: float | None
    lower: float | None
    upper: float | None


def sequence_chart(
    looks: Sequence[Bounded], limits: Sequence[Limit], *, utc: bool, percent: bool = True
) -> Options:
    """Return an estimate over time, the band of its bounds, and its limits."""
    factor = 100.0 if percent else 1.0
    band = [each for each in looks if each.lower is not None and each.upper is not None]
    lower = [[ms(each.time), rounded((each.lower or 0.0) * factor)] for each in band]
    spread = [
        [ms(each.time), rounded(((each.upper or 0.0) - (each.lower or 0.0)) * factor)]
        for each in band
    ]
    upper = [[ms(each.time), rounded((each.upper or 0.0) * factor)] for each in band]
    value = [
        [ms(each.time), None if each.value is None else rounded(each.value * factor)]
        for each in looks
    ]
    lines = [[end[1] for end in line if end[1] is not None] for line in (lower, upper, value)]
    hidden = {"symbol": "none", "lineStyle": {"opacity": 0}, "tooltip": {"show": False}}
    stacked = {"type": "line", "stack": "band", "stackStrategy": "all", "silent": True, **hidden}
    thin = {"type": "line", "symbol": "none", "lineStyle": {"color": PALETTE[0], "width": 1}}
    return {
        **base(utc),
        "xAxis": time_axis(),
        "yAxis": {
            **value_axis(percent=percent),
            **holding(lines, limits, factor, percent=percent),
        },
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
                **line_series("estimate", PALETTE[0], "solid"),
                "data": value,
                "markLine": levels(limits, factor, percent=percent),
            },
        ],
    }


def holding(
    lines: Sequence[Sequence[float]], limits: Sequence[Limit], factor: float, *, percent: bool
) -> Options:
    """Return an axis that holds the limits and the last value of each line, with room beside.

    Of earlier values as much as can be seen without hiding that: the first bounds are very wide.
    """
    shown = [*(line[-1] for line in lines if line), *(limit.value * factor for limit in limits)]
    if not shown:
        return {}
    low, high = min(shown), max(shown)
    beyond = _BEYOND * (high - low) or 1.0
    ends = [*shown, *(end for line in lines for end in line)]
    low, high = max(low - beyond, min(ends)), min(high + beyond, max(ends))
    room = 0.08 * (high - low) or 1.0
    return {
        "min": rounded(low - room, 3),
        "max": rounded(high + room, 3),
        "axisLabel": {
            **value_axis(percent=percent)["axisLabel"],
            "showMinLabel": False,
            "showMaxLabel": False,
        },
    }
