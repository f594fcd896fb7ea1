"""What charts are made of: axes, lines, marks, colours."""

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
AXIS = "rgba(128, 140, 155, 0.55)"
_SIGNIFICANT = 5
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


@dataclass(frozen=True, slots=True)
class Limit:
    """A line that an estimate must, or must not, cross."""

    name: str
    value: float
    harm: bool


def colour(place: int) -> str:
    """Return the colour of the variant at this place."""
    return PALETTE[place % len(PALETTE)]


def base(utc: bool) -> Options:
    """Return what all charts have. utc: whether times are shown in UTC, or the browser's zone."""
    return {
        "useUTC": utc,
        "animation": False,
        "aria": {"enabled": False},  # the page names each chart, and shows its figures as text
        "textStyle": {"fontFamily": "Roboto, sans-serif", "fontSize": 11},
        "grid": {"left": 6, "right": 14, "top": 12, "bottom": 6, "containLabel": True},
        "tooltip": {"trigger": "axis", "confine": True, "transitionDuration": 0},
    }


def time_axis(start: datetime | None = None, end: datetime | None = None) -> Options:
    """Return an axis of time, from start to end where both are given."""
    limits = {} if start is None or end is None else {"min": ms(start), "max": ms(end)}
    return {
        "type": "time",
        **limits,
        "axisLine": {"lineStyle": {"color": AXIS}},
        "axisTick": {"lineStyle": {"color": AXIS}},
        "splitNumber": 6,
        "axisLabel": {"hideOverlap": True, "fontSize": 11},
    }


def value_axis(*, percent: bool = False, from_zero: bool = False) -> Options:
    """Return an axis of values. percent: they are written with a sign behind."""
    return {
        "type": "value",
        "scale": not from_zero,
        "splitNumber": 4,
        "axisLabel": {"fontSize": 11, **({"formatter": "{value} %"} if percent else {})},
        "splitLine": {"lineStyle": {"color": _GRID}},
    }


def line_series(name: str, color: str, dash: str) -> Options:
    """Return a line without its data."""
    return {
        "type": "line",
        "name": name,
        "symbol": "none",
        "lineStyle": {"color": color, "width": 1.6, "type": dash},
        "itemStyle": {"color": color},
    }


def moments(marks: Iterable[Mark]) -> Options:
    """Return vertical lines that mark moments."""
    return {
        "symbol": "none",
        "silent": True,
        "lineStyle": {"color": AXIS, "type": "solid", "width": 1},
        "label": {
            "formatter": "{b}",
            "fontSize": 10,
            "position": "insideEndTop",
            "textBorderWidth": 0,
        },
        "data": [{"name": mark.name, "xAxis": ms(mark.time)} for mark in marks],
    }


def levels(limits: Iterable[Limit], factor: float, *, percent: bool = False) -> Options:
    """Return horizontal lines that mark limits, each with its name. factor: of their values."""
    unit = " %" if percent else ""
    return {
        "symbol": "none",
        "silent": True,
        "data": [
            {
                "name": limit.name,
                "yAxis": rounded(limit.value * factor),
                "lineStyle": {
                    "color": PALETTE[1] if limit.harm else PALETTE[2],
                    "type": "dashed" if limit.harm else "solid",
                    "width": 1.4,
                },
                "label": {
                    "formatter": f"{limit.name} {rounded(limit.value * factor):g}{unit}",
                    "position": "insideEndTop" if place else "insideStartTop",  # may be equal
                    "fontSize": 10,
                    "textBorderWidth": 0,
                },
            }
            for place, limit in enumerate(limits)
        ],
    }


def dots(points: int) -> Options:
    """Show the points themselves where there are few: one alone is no line."""
    return {"symbol": "circle", "symbolSize": 4} if points < _FEW_POINTS else {}


def with_gaps(
    points: Sequence[tuple[datetime, float]], window: timedelta, factor: float
) -> Iterator[list[float | None]]:
    """Yield the points of a line, and a break where windows are missing."""
    before: datetime | None = None
    for time, value in points:
        if before is not None and time - before > 1.5 * window:
            yield [ms(before + window), None]
        before = time
        yield [ms(time), rounded(value * factor)]


def ms(time: datetime) -> int:
    """Return a moment in ms since 1970."""
    return int(time.timestamp() * 1_000)


def rounded(value: float, digits: int = _SIGNIFICANT) -> float:
    """Return a value with so many digits that count: more would only be sent, not seen."""
    return float(f"{value:.{digits}g}")
