"""Series and distributions as messages."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from tidegate.v1 import report_service_pb2
from tidegate_server.analysis.windows import Resolution
from tidegate_server.errors import InvalidField
from tidegate_server.services.series import Distribution, OutcomeSeries

RESOLUTIONS = {
    report_service_pb2.RESOLUTION_TEN_SECONDS: Resolution.TEN_SECONDS,
    report_service_pb2.RESOLUTION_MINUTE: Resolution.MINUTE,
    report_service_pb2.RESOLUTION_HOUR: Resolution.HOUR,
}


def resolution_of(value: "report_service_pb2.Resolution.ValueType") -> Resolution:
    """Return the resolution that was asked for.

    Raises:
        InvalidField: it is none.
    """
    if value not in RESOLUTIONS:
        names = ", ".join(map(report_service_pb2.Resolution.Name, RESOLUTIONS))
        raise InvalidField("resolution", f"{value} is none; give one of {names}")
    return RESOLUTIONS[value]


def time_of(field: str, message: Timestamp) -> datetime:
    """Return the time that was given.

    Raises:
        InvalidField: no clock shows it.
    """
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidField(field, str(error)) from None


def series_to_message(series: OutcomeSeries) -> report_service_pb2.OutcomeSeries:
    """Write a series."""
    line = series.timeline
    message = report_service_pb2.OutcomeSeries(variant=series.variant, outcome=series.outcome)
    for start_ms, count, mean, quantiles in zip(
        line.start_ms.tolist(),
        line.count.tolist(),
        line.mean.tolist(),
        line.quantiles.tolist(),
        strict=True,
    ):
        seconds, ms = divmod(start_ms, 1_000)
        point = message.points.add(count=count, mean=mean)
        point.start_time.seconds, point.start_time.nanos = seconds, ms * 1_000_000
        if quantiles:
            point.p50, point.p95, point.p99 = quantiles
    return message


def distribution_to_message(distribution: Distribution) -> report_service_pb2.Distribution:
    """Write a distribution."""
    return report_service_pb2.Distribution(
        variant=distribution.variant,
        count=int(distribution.count.sum()),
        bins=[
            report_service_pb2.Bin(lower=lower, upper=upper, count=count)
            for lower, upper, count in zip(
                distribution.lower.tolist(),
                distribution.upper.tolist(),
                distribution.count.tolist(),
                strict=True,
            )
        ],
        percentiles=distribution.percentiles,
    )
