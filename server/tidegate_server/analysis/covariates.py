"""Less variance from what was known before: covariates (CUPED) and strata.

Whatever a covariate is, it must be from before the unit was exposed, or be untouched by the
variant, such as its country; otherwise part of the effect is taken away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, cluster_error, combine_apart
from tidegate_server.analysis.phases import Pair


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Both arms after the covariates are taken out; compare them like any others.

    coefficients: one for each covariate, in the outcome's unit per unit of the covariate.
    variance_reduction: the part of the difference's variance that is gone, < 1; below 0 where
        useless covariates cost more degrees of freedom than they explain.
    """

    control: Figure
    treatment: Figure
    coefficients: tuple[float, ...]
    variance_reduction: float


def cuped(pair: Pair, covariates: Sequence[Pair]) -> Adjusted | NotEstimable:
    """Take one or several covariates out of a metric (CUPED).

    pair: the metric's figures. covariates: those of each covariate, over the same units (cells) in
    the same order, whichever statistic either is: a mean, or a ratio whose units weigh unevenly.
    What counts is each unit's influence: that linearises ratios by the delta method (Deng, Xu,
    Kohavi, Walker 2013, "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data", appendix B; Deng, Knoblich, Lu 2018, arXiv:1803.06336, §3).

    The arms are adjusted by value - θ (x - x̄), where x̄ pools both arms and θ makes the variance of
    the difference least: θ = (Σ V_xx)⁻¹ Σ V_xy, sums over the arms (Deng et al. 2013, eq. 4, for
    one covariate of two equal arms). Covariates without variation, or that others explain, get what
    the least norm gives them.

    Raises:
        ValueError: no covariate, or one that is not over the same units.
    """
    if not covariates:
        raise ValueError("covariates: at least one is needed")
    if any(figure.influence.size == 0 for each in (pair, *covariates) for figure in each):
        return NotEstimable(Cause.NEEDS_UNITS)
    for arm in (0, 1):
        sizes = {each[arm].influence.size for each in (pair, *covariates)}
        if len(sizes) > 1:
            raise ValueError(f"covariates: must be over the metric's own units, not {sizes}")
    number = len(covariates)
    if min(figure.degrees for figure in pair) <= number:
        return NotEstimable(Cause.TOO_FEW_UNITS)
    inputs = [np.stack([each[arm].influence for each in covariates]) for arm in (0, 1)]
    theta = _coefficients(pair, inputs)
    arms = [_taken_out(pair[arm], covariates, arm, inputs[arm], theta) for arm in (0, 1)]
    before = sum(figure.standard_error**2 for figure in pair)
    after = sum(figure.standard_error**2 for figure in arms)
    if before == 0.0:
        return NotEstimable(Cause.ZERO_VARIANCE)
    return Adjusted(arms[0], arms[1], tuple(theta.tolist()), 1 - after / before)


def _coefficients(pair: Pair, inputs: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return θ by least squares over the influences of both arms, weighted to be variances."""
    scales = [np.sqrt((f.degrees + 1) / f.degrees) for f in pair]
    columns = np.concatenate([s * x for s, x in zip(scales, inputs, strict=True)], axis=1).T
    target = np.concatenate([s * f.influence for s, f in zip(scales, pair, strict=True)])
    size = np.linalg.norm(columns, axis=0)
    size[size == 0.0] = 1.0
    solution: NDArray[np.float64] = np.linalg.lstsq(columns / size, target, rcond=1e-10)[0] / size
    return solution


def _taken_out(
    figure: Figure,
    covariates: Sequence[Pair],
    arm: int,
    inputs: NDArray[np.float64],
    theta: NDArray[np.float64],
) -> Figure:
    own = np.array([each[arm].value for each in covariates])
    pooled = np.array([_pooled(each) for each in covariates])
    influence = figure.influence - theta @ inputs
    occupied = figure.occupied | (influence != 0.0)
    raw = cluster_error(figure.influence, figure.occupied)
    degrees = figure.degrees - theta.size
    error = float(np.sqrt(figure.degrees / degrees)) * cluster_error(influence, occupied)
    sides = (figure.below / raw, figure.above / raw) if raw else (1.0, 1.0)
    return replace(
        figure,
        value=figure.value - float(theta @ (own - pooled)),
        below=error * sides[0],
        above=error * sides[1],
        influence=influence,
        occupied=occupied,
        known_degrees=degrees,
    )


def _pooled(pair: Pair) -> float:
    """Return a covariate's mean over both arms."""
    left, right = pair
    part = left.events / (left.events + right.events)
    return part * left.value + (1 - part) * right.value


def post_stratify(strata: Sequence[Pair], sizes: Sequence[float]) -> Pair:
    """Return both arms averaged over strata that each unit belonged to before it was exposed.

    strata: control and treatment in each stratum, of disjoint units. sizes: each stratum's weight,
    > 0: the units of both arms, or the population's. Both arms get the same weights, so chance
    differences in composition are gone. The variance is conditional on the strata's sizes: the sum
    of W²·error² (Miratrix, Sekhon, Yu 2013, JRSS B 75, 369-396; Cochran 1977, §5A.9).

    Raises:
        ValueError: sizes are not as many as strata, or not above 0.
    """
    if len(sizes) != len(strata) or not strata or min(sizes) <= 0:
        raise ValueError(f"sizes: must be {len(strata)} numbers > 0, not {list(sizes)}")
    weights = [each / sum(sizes) for each in sizes]
    return (
        combine_apart([pair[0] for pair in strata], weights),
        combine_apart([pair[1] for pair in strata], weights),
    )
