"""What is known of an experiment's metrics: in a line each, and one of them over time."""

from collections.abc import Collection, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidegate.model import Direction, Metric
from tidegate_server.cli.experiments.drawing import (
    Interval,
    Limits,
    chart,
    common_scale,
    interval_bar,
)
from tidegate_server.cli.experiments.marks import Marks
from tidegate_server.domain.experiments.plan import metric_name
from tidegate_server.domain.experiments.records import Measured, Seen
from tidegate_server.domain.metrics import direction_of
from tidegate_server.experiment_text import CEILING, GOAL, figure_words, limit_words

_WIDTH, _HEIGHT = 40, 9


def show_figures(
    measured: Sequence[Measured], metrics: Collection[Metric], marks: Marks
) -> RenderableType:
    """Lay out goal and guardrails against what is asked of them.

    measured: at least one. metrics: the flag's.
    """
    table = Table.grid(padding=(0, 2))
    for each in measured:
        interval, drawn = _interval(each), ""
        if interval is not None:
            limits = _limits(each, metrics)
            drawn = interval_bar(interval, limits, common_scale([interval], limits), _WIDTH, marks)
        cells = (each.role, each.metric, figure_words(each), limit_words(each), drawn)
        table.add_row(*map(Text, cells))
    return Group(table, Text(_legend(marks), style="dim"))


def show_over_time(
    metric: str, looks: Sequence[Seen], metrics: Collection[Metric], marks: Marks
) -> RenderableType:
    """Draw how what is known of one compared metric came about, look by look."""
    seen = [_of(metric, each.measured) for each in looks]
    known = [each for each in seen if each is not None]
    intervals = [None if each is None else _interval(each) for each in seen]
    if len(intervals) - intervals.count(None) < _FEWEST:
        return Text("")
    lines = chart(intervals, _limits(known[-1], metrics), _HEIGHT, marks)
    first, last = (f"{look.time.astimezone():%H:%M:%S}" for look in (looks[0], looks[-1]))
    head = f"{metric}, change under the treatment; {len(looks)} looks from {first} to {last}"
    return Group(Text(head, style="bold"), *map(Text, lines))


_FEWEST = 2
"""Looks below which there is nothing to draw over time."""


def compared(measured: Sequence[Measured]) -> list[str]:
    """Return the metrics that are compared with the control, each once, the goal first."""
    return list(dict.fromkeys(each.metric for each in measured if each.role != CEILING))


def _of(metric: str, measured: Sequence[Measured]) -> Measured | None:
    found = (each for each in measured if each.metric == metric and each.role != CEILING)
    return next(found, None)


def _interval(measured: Measured) -> Interval | None:
    if measured.value is None or measured.lower is None or measured.upper is None:
        return None
    return Interval(measured.lower, measured.value, measured.upper)


def _limits(measured: Measured, metrics: Collection[Metric]) -> Limits:
    """Return the limits on the side where they lie; on none if it is not known which is better."""
    sign = {Direction.HIGHER: 1, Direction.LOWER: -1, Direction.UNKNOWN: 0}[
        direction_of(metric_name(measured.metric).outcome, metrics)
    ]
    towards = sign if measured.role == GOAL else -sign
    harm = None if measured.tolerance is None else -sign * measured.tolerance
    return Limits(towards * measured.threshold, harm)


def _legend(marks: Marks) -> str:
    return (
        f"{marks.left}{marks.line}{marks.point}{marks.line}{marks.right} estimate and bounds   "
        f"{marks.zero} no change   {marks.wanted} what is asked for   {marks.harm} rolls back"
    )
