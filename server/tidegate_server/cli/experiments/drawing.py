"""Intervals and bars in one line of text, and intervals over time in several."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate_server.cli.experiments.marks import Marks


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate between its bounds: lower <= upper; the estimate may lie outside."""

    lower: float
    value: float
    upper: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What an effect is held against. wanted: what must be exceeded. harm: None: none."""

    wanted: float
    harm: float | None = None


def bar(part: float, width: int, marks: Marks) -> str:
    """Draw how much of something is there: `part` in [0, 1]."""
    full = round(width * min(max(part, 0.0), 1.0))
    return marks.full * full + marks.empty * (width - full)


def interval_bar(
    interval: Interval, limits: Limits, scale: tuple[float, float], width: int, marks: Marks
) -> str:
    """Draw an interval on a scale, with no effect and the limits. scale: what its ends stand for.

    What lies beyond the scale is drawn at its end.
    """
    line = [" "] * width
    left, right = _column(interval.lower, scale, width), _column(interval.upper, scale, width)
    line[left : right + 1] = marks.line * (right + 1 - left)
    line[left], line[right] = marks.left, marks.right
    _put(line, scale, 0.0, marks.zero)
    _put(line, scale, limits.wanted, marks.wanted)
    if limits.harm is not None:
        _put(line, scale, limits.harm, marks.harm)
    _put(line, scale, interval.value, marks.point)
    return "".join(line).rstrip()


def chart(
    intervals: Sequence[Interval | None], limits: Limits, height: int, marks: Marks
) -> list[str]:
    """Draw intervals beside each other, one a column, upright; None: nothing was known.

    Returns `height` lines, each with the value at its height before it.
    """
    known = [each for each in intervals if each]
    scale = common_scale(known, limits)
    rows = [[" "] * len(intervals) for _ in range(height)]
    for mark, level in ((marks.zero, 0.0), (marks.line, limits.wanted)):
        rows[_column(level, scale, height)] = [mark] * len(intervals)
    for column, each in enumerate(intervals):
        if each is None:
            continue
        bottom, top = (_column(level, scale, height) for level in (each.lower, each.upper))
        for row in range(bottom, top + 1):
            rows[row][column] = marks.band
        rows[_column(each.value, scale, height)][column] = marks.point
    step = (scale[1] - scale[0]) / (height - 1)
    labels = [f"{scale[0] + step * row:+.1%}" for row in range(height)]
    width = max(map(len, labels))
    lines = zip(labels, map("".join, rows), strict=True)
    return [f"{label:>{width}} {row}".rstrip() for label, row in lines][::-1]


def common_scale(intervals: Sequence[Interval], limits: Limits) -> tuple[float, float]:
    """Return a scale that has the limits and, of the intervals, what lies near them.

    Early intervals are so wide that nothing could be told of the later ones: the scale ends at
    three times what limits and estimates need.
    """
    core = [0.0, limits.wanted, *(each.value for each in intervals)]
    core += [] if limits.harm is None else [limits.harm]
    reach = 3 * max(0.001, *map(abs, core))
    low = max(-reach, min((each.lower for each in intervals), default=0.0))
    high = min(reach, max((each.upper for each in intervals), default=0.0))
    low, high = min(low, *core), max(high, *core)
    rim = max(0.02 * (high - low), 0.001)
    return low - rim, high + rim


def _put(line: list[str], scale: tuple[float, float], level: float, mark: str) -> None:
    line[_column(level, scale, len(line))] = mark


def _column(level: float, scale: tuple[float, float], width: int) -> int:
    low, high = scale
    part = (level - low) / (high - low)
    return round((width - 1) * min(max(part, 0.0), 1.0)) if math.isfinite(part) else 0
