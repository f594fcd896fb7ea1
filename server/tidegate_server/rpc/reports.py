"""ReportService: the report as a message."""

from datetime import datetime
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from tidegate.model import Direction, FlagKey
from tidegate.v1 import flag_pb2, report_service_pb2, report_service_pb2_grpc
from tidegate_server.analysis.comparison import Estimate
from tidegate_server.analysis.effect_size import Magnitude
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.domain.comparisons import Comparison, deciding
from tidegate_server.domain.metrics import Better, Statistic
from tidegate_server.domain.report_quality import ReportQuality
from tidegate_server.ports import Clock
from tidegate_server.rpc.errors import Context
from tidegate_server.rpc.series import (
    distribution_to_message,
    resolution_of,
    series_to_message,
    time_of,
)
from tidegate_server.services.flags import Flags
from tidegate_server.services.reports import OutcomeSummary, Report, Reports, VariantReport
from tidegate_server.services.series import SeriesReader

DIRECTIONS = {
    Direction.UNKNOWN: flag_pb2.DIRECTION_UNSPECIFIED,
    Direction.LOWER: flag_pb2.DIRECTION_LOWER_IS_BETTER,
    Direction.HIGHER: flag_pb2.DIRECTION_HIGHER_IS_BETTER,
}
STATISTICS = {
    Statistic.MEAN: report_service_pb2.STATISTIC_MEAN,
    Statistic.P50: report_service_pb2.STATISTIC_P50,
    Statistic.P90: report_service_pb2.STATISTIC_P90,
    Statistic.P95: report_service_pb2.STATISTIC_P95,
    Statistic.P99: report_service_pb2.STATISTIC_P99,
}
MAGNITUDES = {
    Magnitude.NEGLIGIBLE: report_service_pb2.EFFECT_SIZE_NEGLIGIBLE,
    Magnitude.SMALL: report_service_pb2.EFFECT_SIZE_SMALL,
    Magnitude.MEDIUM: report_service_pb2.EFFECT_SIZE_MEDIUM,
    Magnitude.LARGE: report_service_pb2.EFFECT_SIZE_LARGE,
}
SIDES = {
    Better.UNKNOWN: report_service_pb2.BETTER_UNSPECIFIED,
    Better.TREATMENT: report_service_pb2.BETTER_TREATMENT,
    Better.CONTROL: report_service_pb2.BETTER_CONTROL,
    Better.NEITHER: report_service_pb2.BETTER_NEITHER,
}


Known = TypeVar("Known")


class ReportServicer(report_service_pb2_grpc.ReportServiceServicer):
    """Makes reports and translates them."""

    def __init__(self, flags: Flags, reports: Reports, series: SeriesReader, clock: Clock) -> None:
        self._flags = flags
        self._reports = reports
        self._series = series
        self._clock = clock

    async def GetReport(
        self, request: report_service_pb2.GetReportRequest, context: Context
    ) -> report_service_pb2.GetReportResponse:
        """Report each variant, and every treatment against the control."""
        flag = self._flags.get(FlagKey(request.flag_key))
        report = await self._reports.report(
            flag, control=request.control, phase=request.phase, now=self._clock.now()
        )
        return report_service_pb2.GetReportResponse(report=_report(report))

    async def GetSeries(
        self, request: report_service_pb2.GetSeriesRequest, context: Context
    ) -> report_service_pb2.GetSeriesResponse:
        """Tell how a flag's outcomes and exposures went over time."""
        flag, now = self._flags.get(FlagKey(request.flag_key)), self._clock.now()
        resolution = resolution_of(request.resolution)
        given = request.HasField
        start = time_of("start_time", request.start_time) if given("start_time") else None
        end = time_of("end_time", request.end_time) if given("end_time") else now
        series = await self._series.series(flag.key, resolution, start, end)
        return report_service_pb2.GetSeriesResponse(
            series=map(series_to_message, series), read_time=_timestamp(now)
        )

    async def GetDistribution(
        self, request: report_service_pb2.GetDistributionRequest, context: Context
    ) -> report_service_pb2.GetDistributionResponse:
        """Tell how the values of one outcome are distributed."""
        flag = self._flags.get(FlagKey(request.flag_key))
        found = await self._series.distributions(flag, request.outcome, request.phase)
        return report_service_pb2.GetDistributionResponse(
            distributions=map(distribution_to_message, found)
        )


def _timestamp(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time)
    return message


def _report(report: Report) -> report_service_pb2.Report:
    return report_service_pb2.Report(
        flag_key=report.flag_key,
        revision=report.revision,
        current_phase=report.current_phase,
        control=report.control,
        variants=[_variant(each) for each in report.variants],
        comparisons=[_comparison(each) for each in report.comparisons],
        quality=_quality(report.quality),
        phases=report.phases,
        create_time=_timestamp(report.create_time),
    )


def _variant(variant: VariantReport) -> report_service_pb2.VariantReport:
    return report_service_pb2.VariantReport(
        variant=variant.variant,
        share_ppm=variant.share_ppm,
        units=_known(variant.units),
        exposures=variant.exposures,
        dropped_events=variant.dropped_events,
        outcomes=[_outcome(each) for each in variant.outcomes],
        outside_split_events=variant.outside_split_events,
    )


def _outcome(outcome: OutcomeSummary) -> report_service_pb2.OutcomeSummary:
    return report_service_pb2.OutcomeSummary(
        outcome=outcome.outcome,
        count=outcome.count,
        sum=outcome.sum,
        mean=outcome.mean,
        standard_deviation=_known(outcome.standard_deviation),
        p50=outcome.p50,
        p90=outcome.p90,
        p95=outcome.p95,
        p99=outcome.p99,
        rate_per_second=_known(outcome.rate_per_second),
        direction=DIRECTIONS[outcome.direction],
    )


def _quality(quality: ReportQuality) -> report_service_pb2.Quality:
    ratio = _known(quality.sample_ratio)
    return report_service_pb2.Quality(
        sample_ratio_p_value=ratio.p_value if ratio else None,
        crossovers=[
            report_service_pb2.Crossover(
                phase=each.phase,
                control=each.control,
                treatment=each.treatment,
                units=each.crossover.units,
                standard_error=each.crossover.standard_error,
            )
            for each in quality.crossovers
        ],
        faults=quality.faults,
    )


def _comparison(comparison: Comparison) -> report_service_pb2.Comparison:
    message = report_service_pb2.Comparison(
        treatment=comparison.treatment,
        outcome=comparison.outcome,
        statistic=STATISTICS[comparison.statistic],
        direction=DIRECTIONS[comparison.direction],
    )
    if isinstance(comparison.estimate, NotEstimable):
        message.not_estimable = str(comparison.estimate)
    else:
        message.estimate.CopyFrom(_estimate(comparison.estimate, comparison))
    return message


def _estimate(estimate: Estimate, comparison: Comparison) -> report_service_pb2.Estimate:
    effect, relative = _known(comparison.effect_size), _known(estimate.relative_interval)
    heterogeneity = _known(comparison.heterogeneity)
    return report_service_pb2.Estimate(
        control=estimate.control,
        treatment=estimate.treatment,
        difference=estimate.difference,
        difference_lower=estimate.interval.lower,
        difference_upper=estimate.interval.upper,
        relative_difference=_known(estimate.relative_difference),
        relative_lower=relative.lower if relative else None,
        relative_upper=relative.upper if relative else None,
        p_value=estimate.p_value,
        cohens_d=effect.cohens_d if effect else None,
        effect_size=MAGNITUDES[effect.magnitude]
        if effect
        else report_service_pb2.EFFECT_SIZE_UNSPECIFIED,
        better=SIDES[comparison.better],
        always_valid=_always_valid(comparison),
        minimum_detectable_effect=_known(comparison.detectable),
        control_units=comparison.units[0],
        treatment_units=comparison.units[1],
        chance_to_win=_known(comparison.chance_to_win),
        heterogeneity_p_value=heterogeneity.p_value if heterogeneity else None,
    )


def _always_valid(comparison: Comparison) -> report_service_pb2.AlwaysValid | None:
    look = _known(comparison.always_valid)
    if look is None:
        return None
    relative = _known(look.relative)
    return report_service_pb2.AlwaysValid(
        difference_lower=look.difference.interval.lower,
        difference_upper=look.difference.interval.upper,
        relative_lower=relative.interval.lower if relative else None,
        relative_upper=relative.interval.upper if relative else None,
        p_value=deciding(look).p_value,
        better=SIDES[comparison.better_at_any_look],
    )


def _known(figure: Known | NotEstimable) -> Known | None:
    """Return a figure, or None (an absent field) for one that can't be computed."""
    return None if isinstance(figure, NotEstimable) else figure
