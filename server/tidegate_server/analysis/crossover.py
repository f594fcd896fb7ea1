"""How many units were seen in two variants of one phase, from the variants' unit bitmaps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from tidegate_server.analysis.estimable import Cause, NotEstimable


@dataclass(frozen=True, slots=True)
class Crossover:
    """An estimated number of units that were seen in both of two variants.

    units: unbiased, and so below 0 now and then where there are none.
    standard_error: > 0 unless a variant has no units.
    p_value: chance of as many common bits, or more, if no unit were in both; in [0, 1], exact.
    """

    units: float
    standard_error: float
    p_value: float


def crossovers(
    bitmaps: Mapping[str, NDArray[np.uint8]],
) -> dict[tuple[str, str], Crossover | NotEstimable]:
    """Return the crossover of each pair of variants. bitmaps: of one phase, by variant."""
    return {
        (left, right): crossover(bitmaps[left], bitmaps[right])
        for left, right in combinations(sorted(bitmaps), 2)
    }


def crossover(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Crossover | NotEstimable:
    """Estimate how many units two bitmaps of one shape have in common.

    With m bits of which a share a is 0 on the left, b on the right and c in both, the estimate is
    m ln(c / (a b)): linear counting's n(left) + n(right) - n(left or right), which is 0 on average
    where the common bits are collisions. By the delta method its variance at fixed numbers of units
    is m (1/c - 1/a - 1/b + 2 c/(a b) - 1 - ln(c / (a b))). Without crossover the common bits are
    hypergeometric: m bits, of which the one side has drawn its own, and the other its own.
    """
    bits = left.size * 8
    ones = [int(np.bitwise_count(each).sum()) for each in (left, right, left | right)]
    if max(ones) == bits:
        return NotEstimable(Cause.SATURATED)
    a, b, c = (1 - each / bits for each in ones)
    ratio = c / (a * b)
    variance = bits * (1 / c - 1 / a - 1 / b + 2 * ratio - 1 - math.log(ratio))
    common = ones[0] + ones[1] - ones[2]
    p_value = _chance(common, bits, ones[0], ones[1])
    return Crossover(bits * math.log(ratio), math.sqrt(max(variance, 0.0)), p_value)


def _chance(common: int, bits: int, left: int, right: int) -> float:
    """Return the chance of `common` common bits or more, if `left` and `right` of `bits` are drawn.

    The sum of the hypergeometric probabilities, in logarithms, up to forty standard deviations: one
    is sqrt(bits) / 4 at most. Every server would wait half a second for scipy.stats to load.
    """
    most = max(common, left * right // bits) + 10 * math.isqrt(bits)
    both = np.arange(common, min(left, right, most) + 1)
    chosen = _log_binomial(left, both) + _log_binomial(bits - left, right - both)
    return min(float(np.exp(chosen - _log_binomial(bits, right)).sum()), 1.0)


def _log_binomial(total: int, chosen: NDArray[np.int_] | int) -> NDArray[np.float64]:
    """Return the logarithm of the number of ways to choose `chosen`, in [0, total], of `total`."""
    return np.asarray(gammaln(total + 1) - gammaln(chosen + 1) - gammaln(total - chosen + 1))
