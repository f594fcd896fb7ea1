"""Aggregates of two sets of events made into those of both. No input is changed."""

from tidegate_server.analysis.aggregates import ArmAggregate, OutcomeAggregate
from tidegate_server.analysis.histogram import merge_histograms
from tidegate_server.analysis.moments import merge_cells


def merge_outcomes(left: OutcomeAggregate, right: OutcomeAggregate) -> OutcomeAggregate:
    """Return what is kept of one outcome, over both."""
    return OutcomeAggregate(
        merge_cells(left.cells, right.cells), merge_histograms(left.histogram, right.histogram)
    )


def merge_arms(left: ArmAggregate, right: ArmAggregate) -> ArmAggregate:
    """Return what is kept of one arm, over both; outcomes of one side only are shared with it."""
    outcomes = {**left.outcomes, **right.outcomes}
    for name in left.outcomes.keys() & right.outcomes.keys():
        outcomes[name] = merge_outcomes(left.outcomes[name], right.outcomes[name])
    seen = [arm for arm in (left, right) if (arm.first_ms, arm.last_ms) != (0, 0)]
    return ArmAggregate(
        units=left.units | right.units,
        exposures=left.exposures + right.exposures,
        dropped=left.dropped + right.dropped,
        first_ms=min((arm.first_ms for arm in seen), default=0),
        last_ms=max((arm.last_ms for arm in seen), default=0),
        outcomes=outcomes,
    )
