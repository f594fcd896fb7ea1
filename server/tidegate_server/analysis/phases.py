"""Phases analysed apart and combined: pooling phases of different splits is Simpson's paradox."""

from collections.abc import Sequence
from typing import TypeAlias

from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.figures import Figure, combine

Pair: TypeAlias = tuple[Figure, Figure]
"""Control and treatment in one phase."""


def estimable_pair(
    control: Figure | NotEstimable, treatment: Figure | NotEstimable
) -> Pair | NotEstimable:
    """Return both figures, or why one is missing, with its arm as the subject."""
    if isinstance(control, NotEstimable):
        return control.about("control")
    if isinstance(treatment, NotEstimable):
        return treatment.about("treatment")
    return control, treatment


def combine_phases(pairs: Sequence[Pair]) -> Pair:
    """Return control and treatment over phases.

    Both arms get the same weights, so the combined difference is the weighted mean of the phases'
    differences and no difference between phases can leak into it. The weights are the inverse
    variances of the differences, with each arm's variance per event pooled over the phases: a
    phase that by chance shows little spread (no error yet, two units that agree) gets no more
    weight than its events deserve. At least one pair.

    The arms are taken for independent of each other. Units that moved from one to the other between
    phases make both rise and fall together: the interval then errs on the wide side.

    Source: Cochran 1954, "The combination of estimates from different experiments"; why the weights
    don't come from each phase's own variance: Meier 1953, "Variance of a weighted mean".
    """
    control = [pair[0] for pair in pairs]
    treatment = [pair[1] for pair in pairs]
    spreads = (_variance_per_event(control), _variance_per_event(treatment))
    per_event = spreads if any(spreads) else (1.0, 1.0)
    raw = [1 / (per_event[0] / c.events + per_event[1] / t.events) for c, t in pairs]
    weights = [each / sum(raw) for each in raw]
    return combine(control, weights), combine(treatment, weights)


def _variance_per_event(figures: Sequence[Figure]) -> float:
    """Return the variance that one event adds, design effect included, over an arm's phases."""
    weighted = sum(f.degrees * f.events * f.standard_error**2 for f in figures)
    return weighted / sum(f.degrees for f in figures)
