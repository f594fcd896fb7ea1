"""Sample-ratio mismatch: whether the arms have the units that the split promised them."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.mixture import always_valid_p_value, log_mixture_ratio
from tidegate_server.analysis.units import UnitCount

CONCENTRATION = 10_000.0
"""How closely the alternative is drawn around the split, in units: shares off by some 1 % of
themselves in even arms. The value of Lindon and Malek's own program (optimizely/ssrm)."""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """How well the counts agree with the split.

    p_value: always valid, in (0, 1]. fixed_p_value: of the chi-square test, in (0, 1], for one look
        at a planned size. degrees: of freedom, >= 1.
    log_e_value: logarithm of the evidence against the split, finite.
    inflation: by what factor the counts vary more than exact counts would, >= 1.
    stray_units: in arms of weight 0, which can't have any: > 0 is a mismatch at once.
    """

    p_value: float
    fixed_p_value: float
    degrees: int
    log_e_value: float
    inflation: float
    stray_units: float


def sample_ratio(
    counts: Sequence[UnitCount],
    weights: Sequence[float],
    concentration: float = CONCENTRATION,
) -> SampleRatio | NotEstimable:
    """Test the numbers of units of any number of arms against the split's weights, at any look.

    counts: distinct units of each arm in one phase; an exact count has standard error 0. weights:
    as many, >= 0, in any unit (parts per million, say), at least one above 0. concentration: > 0,
    in units. Assumes that units are independent and get their arm by chance.

    For exact counts this is the Dirichlet-multinomial e-value of Lindon and Malek 2022
    (arXiv:2011.03567, §2), beside it Pearson's chi-square. Estimated counts vary more: by the
    factor 1 + (standard error)² / units in each arm, and in shares by at most f, the largest
    eigenvalue of (I - s s') diag(factors) (I - s s') with s_i = sqrt(weight_i). Linear counts less
    the true ones are martingales as units come, so deviations from the split run on a clock that
    shows f · units. A mixture martingale on that clock is at least the e-value of counts / f,
    divided by f for each degree of freedom: that is the e-value here; Pearson's statistic is
    divided by f. So rough counts cost power, but raise no false alarms. The bitmaps are sharpest at
    1.7 million units an arm; with more the p-value may rise again, so keep the least one seen,
    which is as valid as the last.

    Not estimable: no units, or one arm of weight above 0 and no stray units.

    Raises:
        ValueError: weights that are negative, all 0, or not as many as the counts.
    """
    share = _shares(weights, len(counts))
    units = np.array([count.units for count in counts])
    noise = np.array([count.standard_error for count in counts]) ** 2
    open_ = share > 0
    stray = float(units[~open_].sum())
    units, noise, share = units[open_], noise[open_], share[open_]
    total, degrees = float(units.sum()), share.size - 1
    if total + stray < 0.5:
        return NotEstimable(Cause.NO_UNITS)
    if stray >= 0.5:
        least = sys.float_info.min
        return SampleRatio(least, least, max(degrees, 1), -math.log(least), 1.0, stray)
    if degrees == 0:
        return NotEstimable(Cause.ONE_ARM)
    inflation = _inflation(1 + noise / np.maximum(units, 1.0), share)
    scaled = units / inflation
    evidence = log_mixture_ratio(scaled, concentration * share, share)
    evidence -= degrees * math.log(inflation)
    expected = scaled.sum() * share
    chi_square = float(((scaled - expected) ** 2 / expected).sum())
    return SampleRatio(
        p_value=always_valid_p_value(evidence),
        fixed_p_value=max(float(gammaincc(degrees / 2, chi_square / 2)), sys.float_info.min),
        degrees=degrees,
        log_e_value=evidence,
        inflation=inflation,
        stray_units=0.0,
    )


def _shares(weights: Sequence[float], arms: int) -> NDArray[np.float64]:
    if len(weights) != arms:
        raise ValueError(f"weights: must be one for each of the {arms} arms, not {len(weights)}")
    given = np.asarray(weights, np.float64)
    if not (np.isfinite(given).all() and (given >= 0).all() and given.any()):
        raise ValueError(f"weights: must be finite, >= 0 and not all 0, not {list(weights)}")
    shares: NDArray[np.float64] = given / given.sum()
    return shares


def _inflation(factors: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    """Return f of `sample_ratio`: exactly 1 where all factors are."""
    if (factors == 1.0).all():
        return 1.0
    root = np.sqrt(share)
    project = np.eye(root.size) - np.outer(root, root)
    return max(float(np.linalg.eigvalsh(project * factors @ project)[-1]), 1.0)
