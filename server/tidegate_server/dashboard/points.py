"""Figures over time: what was asked for, put together from answers that overlap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tidegate.v1 import report_service_pb2

EXPOSURES = ""
"""The outcome that stands for exposures."""

_LATE_WINDOWS = 6
"""The last windows are asked for every time: events still come in."""

_WHOLE = timedelta(minutes=1)
"""So often everything is asked for: events may come later still."""


@dataclass(frozen=True, slots=True)
class Span:
    """How far back is looked, and in how long windows."""

    label: str
    length: timedelta
    resolution: "report_service_pb2.Resolution.ValueType"
    window: timedelta

    def start(self, now: datetime) -> datetime:
        """Return the beginning of the first window."""
        return self.window_of(now - self.length)

    def window_of(self, time: datetime) -> datetime:
        """Return the beginning of the window that a time lies in."""
        return time - (time - _EPOCH) % self.window


_EPOCH = datetime.fromtimestamp(0, UTC)
_TEN_SECONDS, _MINUTE = timedelta(seconds=10), timedelta(minutes=1)

SPANS = (
    Span("30m", timedelta(minutes=30), report_service_pb2.RESOLUTION_TEN_SECONDS, _TEN_SECONDS),
    Span("2h", timedelta(hours=2), report_service_pb2.RESOLUTION_MINUTE, _MINUTE),
    Span("24h", timedelta(hours=24), report_service_pb2.RESOLUTION_MINUTE, _MINUTE),
    Span("7d", timedelta(days=7), report_service_pb2.RESOLUTION_HOUR, timedelta(hours=1)),
)


def span_of(label: str) -> Span:
    """Return the span of this label; of none, the first."""
    return next((span for span in SPANS if span.label == label), SPANS[0])


@dataclass(frozen=True, slots=True)
class Point:
    """One window. quantiles: p50, p95 and p99; empty for exposures."""

    start: datetime
    count: int
    mean: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SeriesTable:
    """What happened to a flag in `span`, by variant and outcome, each by time.

    read: when. refetch: from when on windows may still change. whole: when everything was read.
    """

    span: Span
    series: Mapping[tuple[str, str], Sequence[Point]]
    read: datetime
    refetch: datetime
    whole: datetime

    @property
    def outcomes(self) -> Sequence[str]:
        """All outcomes, exposures left out."""
        return sorted({outcome for _, outcome in self.series if outcome != EXPOSURES})


def since(before: SeriesTable | None, start: datetime, now: datetime) -> datetime:
    """Return from when on windows must be asked for, of those from `start` on."""
    if before is None or now - before.whole > _WHOLE:
        return start
    return max(start, before.refetch)


def merged(
    before: SeriesTable | None,
    answer: report_service_pb2.GetSeriesResponse,
    asked: datetime,
    start: datetime,
    span: Span,
) -> SeriesTable:
    """Return the windows from `start` on: those of the answer from `asked` on, else as before."""
    read = answer.read_time.ToDatetime(UTC)
    is_whole = before is None or asked <= start
    found = {(each.variant, each.outcome): _points(each) for each in answer.series}
    kept = {} if before is None or is_whole else before.series
    series = {
        name: [
            *(point for point in kept.get(name, ()) if start <= point.start < asked),
            *found.get(name, ()),
        ]
        for name in sorted(kept.keys() | found.keys())
    }
    return SeriesTable(
        span,
        {name: points for name, points in series.items() if points},
        read,
        span.window_of(read - _LATE_WINDOWS * span.window),
        read if before is None or is_whole else before.whole,
    )


def _points(series: report_service_pb2.OutcomeSeries) -> list[Point]:
    return [
        Point(
            point.start_time.ToDatetime(UTC),
            point.count,
            point.mean,
            (point.p50, point.p95, point.p99) if point.HasField("p50") else (),
        )
        for point in series.points
    ]
