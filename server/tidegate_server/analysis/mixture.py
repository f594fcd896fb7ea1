"""The likelihood of counts under a Dirichlet mixture against one fixed distribution.

The ratio is a test martingale under the fixed distribution, so the chance that it ever exceeds
1 / alpha is at most alpha (Ville 1939), however often it is looked at. With two categories it is
the beta-binomial mixture (Robbins 1970, "Statistical methods related to the law of the iterated
logarithm").
"""

import math
import sys

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln


def log_mixture_ratio(
    counts: NDArray[np.float64], prior: NDArray[np.float64], null: NDArray[np.float64]
) -> float:
    """Return the logarithm of the e-value against `null`, finite: `log_mixture_ratios` of one."""
    return float(log_mixture_ratios(counts, prior, null))


def log_mixture_ratios(
    counts: NDArray[np.float64], prior: NDArray[np.float64], null: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the logarithm of each e-value against `null`, finite, shape (...).

    counts: shape (..., k), >= 0, up to 1e15; whole or not. prior: the Dirichlet's parameters, shape
    (..., k), > 0. null: shape (..., k), > 0, adding up to 1.

    It is B(prior + counts) / B(prior) / prod(null ** counts), with B the multivariate beta function
    (Lindon and Malek 2022, "Anytime-valid inference for multinomial count data",
    arXiv:2011.03567, §2). Stirling's formula cancels the large terms on paper: as differences of
    gammaln they would leave two correct digits at counts of 1e12.
    """
    size, weight = counts.sum(-1, keepdims=True), prior.sum(-1, keepdims=True)
    expected = null * (weight + size)
    ratio = (prior + counts) / expected
    deviation = (counts - size * null + (prior - weight * null)) / expected
    relative = np.where(ratio > 0.5, np.log1p(np.maximum(deviation, -0.5)), np.log(ratio))
    total = (weight + size)[..., 0]
    divergence = total * (null * (ratio * relative - deviation)).sum(-1)
    posterior = _stirling_rest(prior + counts).sum(-1) - _stirling_rest(total)
    normal = (null.shape[-1] - 1) / 2 * np.log(2 * math.pi / total)
    start = gammaln(prior).sum(-1) - gammaln(weight[..., 0])
    shape = ((prior - 0.5) * np.log(null)).sum(-1) - relative.sum(-1) / 2
    found: NDArray[np.float64] = divergence + posterior + normal - start + shape
    return found


def concentration_for(planned: float, alpha: float) -> float:
    """Return the sum of the prior's parameters that makes tests sharpest at `planned` observations.

    planned: > 0. alpha: in (0, 1). At least 1. Source: Howard, Ramdas, McAuliffe, Sekhon 2021
    (arXiv:1810.08240), §3.5, with the optimum of their normal mixture in the closed form of
    Waudby-Smith et al. 2021 (arXiv:2103.06476), eq. 161.

    Raises:
        ValueError: the plan is not a positive number.
    """
    if not 0.0 < planned < math.inf:
        raise ValueError(f"planned: must be a number > 0, not {planned}")
    return max(planned / (-2 * math.log(alpha) + math.log1p(-2 * math.log(alpha))) - 1, 1.0)


def always_valid_p_value(log_e_value: float) -> float:
    """Return min(1, 1 / e), in (0, 1]: valid at every look (Ville 1939)."""
    return max(math.exp(-max(log_e_value, 0.0)), sys.float_info.min)


def _stirling_rest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return gammaln(x) - ((x - 1/2) log x - x + log(2 pi) / 2) for x > 0, to 1e-15.

    From 15 on by the series of Abramowitz and Stegun 1964, eq. 6.1.41.
    """
    large = np.maximum(x, 15.0)
    inverse = 1 / large**2
    series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / large
    small = np.minimum(x, 15.0)
    direct = gammaln(small) - ((small - 0.5) * np.log(small) - small + math.log(2 * math.pi) / 2)
    return np.where(x < 15.0, direct, series)
