"""Phases analysed apart and combined: pooling phases of different splits is Simpson's paradox."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from scipy.special import chdtrc

from tidegate_server.analysis.effects import Effect
from tidegate_server.analysis.estimable import Cause, NotEstimable
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
    weight than its events deserve. At least one pair; one by itself is the result.

    The arms are taken for independent of each other. Units that moved from one to the other between
    phases make both rise and fall together: the interval then errs on the wide side.

    Source: Cochran 1954, "The combination of estimates from different experiments"; why the weights
    don't come from each phase's own variance: Meier 1953, "Variance of a weighted mean".
    """
    if len(pairs) == 1:
        return pairs[0]
    control = [pair[0] for pair in pairs]
    treatment = [pair[1] for pair in pairs]
    largest = max(each.standard_error for each in (*control, *treatment))
    spreads = (_variance_per_event(control, largest), _variance_per_event(treatment, largest))
    per_event = spreads if any(spreads) else (1.0, 1.0)
    raw = [1 / (per_event[0] / c.events + per_event[1] / t.events) for c, t in pairs]
    weights = [each / sum(raw) for each in raw]
    return combine(control, weights), combine(treatment, weights)


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """Whether the effect differs between phases (or strata).

    statistic: Cochran's Q >= 0. degrees: phases less 1. p_value: in (0, 1]; small where they differ
    by more than chance. i_squared: the part of the scatter that is not chance, in [0, 1).
    """

    statistic: float
    degrees: int
    p_value: float
    i_squared: float


def heterogeneity(effects: Sequence[Effect]) -> Heterogeneity | NotEstimable:
    """Test whether independent effects are one and the same.

    effects: of each phase, on one scale (differences, or log-ratios). Q = Σ w (δ - δ̄)² with
    weights 1 / error², chi-square of degrees n - 1 (Cochran 1954, Biometrics 10, 101-129), and
    I² = 1 - degrees / Q, if above 0 (Higgins and Thompson 2002, Statist. Med. 21, 1539-1558).
    The phases of a ramp share units, which makes their effects alike: the test then errs on the
    quiet side.
    """
    if len(effects) < 2:
        return NotEstimable(Cause.ONE_PHASE)
    if any(each.standard_error == 0.0 for each in effects):
        return NotEstimable(Cause.ZERO_VARIANCE)
    least = min(each.standard_error for each in effects)
    weights = [(least / each.standard_error) ** 2 for each in effects]
    parts = list(zip(weights, effects, strict=True))
    mean = sum(w * each.value for w, each in parts) / sum(weights)
    deviations = [(each.value - mean) / each.standard_error for each in effects]
    statistic = sum(z * z for z in deviations)
    if not math.isfinite(statistic):
        return NotEstimable(Cause.OVERFLOW)
    degrees = len(effects) - 1
    return Heterogeneity(
        statistic=statistic,
        degrees=degrees,
        p_value=max(float(chdtrc(degrees, statistic)), sys.float_info.min),
        i_squared=max(1 - degrees / statistic, 0.0) if statistic else 0.0,
    )


def _variance_per_event(figures: Sequence[Figure], scale: float) -> float:
    """Return the variance that one event adds, design effect included, over an arm's phases.

    scale: the error in which it is told, so that no square is too large for a float.
    """
    if scale == 0.0:
        return 0.0
    degrees = [f.degrees for f in figures]
    variances = [f.events * (f.standard_error / scale) ** 2 for f in figures]
    return sum(d * v for d, v in zip(degrees, variances, strict=True)) / sum(degrees)
