import math
from collections.abc import Sequence

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from tidegate_server.analysis.effects import Effect
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import NORMAL
from tidegate_server.analysis.phases import Heterogeneity, heterogeneity

BCG = (
    (4, 123, 11, 139), (6, 306, 29, 303), (3, 231, 11, 220), (62, 13598, 248, 12867),
    (33, 5069, 47, 5808), (180, 1541, 372, 1451), (8, 2545, 10, 629), (505, 88391, 499, 88391),
    (29, 7499, 45, 7277), (17, 1716, 65, 1665), (186, 50634, 141, 27338), (5, 2498, 3, 2341),
    (27, 16913, 29, 17854),
)  # fmt: skip
"""Cases and people, vaccinated and not, in 13 trials: Colditz et al. 1994, JAMA 271, 698-702."""

TRIALS = [(math.log(a / n / (c / m)), 1 / a - 1 / n + 1 / c - 1 / m) for a, n, c, m in BCG]
"""Log-ratios of the risks, and their variances."""


def effects(pairs: Sequence[tuple[float, float]]) -> list[Effect]:
    return [Effect(y, v**0.5, v**0.5, NORMAL) for y, v in pairs]


def known(result: Heterogeneity | NotEstimable) -> Heterogeneity:
    assert isinstance(result, Heterogeneity)
    return result


def test_the_vaccine_trials() -> None:
    """Q = 152.23 at 12 degrees (Viechtbauer 2010, J. Stat. Software 36(3), §3.1, equal effects)."""
    result = known(heterogeneity(effects(TRIALS)))
    assert result.statistic == pytest.approx(152.23, abs=0.005)
    assert result.degrees == 12
    assert result.p_value < 1e-20
    assert result.i_squared == pytest.approx(0.9212, abs=5e-5)
    reference = combine_effects(*map(np.array, zip(*TRIALS, strict=True)))
    assert result.statistic == pytest.approx(reference.q, rel=1e-9)
    assert result.i_squared == pytest.approx(reference.i2, rel=1e-9)


def test_phases_that_agree() -> None:
    same = known(heterogeneity(effects(((0.5, 1.0), (0.5, 4.0)))))
    assert (same.statistic, same.p_value, same.i_squared) == (0.0, 1.0, 0.0)


def test_what_cannot_be_said() -> None:
    assert heterogeneity(effects(TRIALS[:1])) == NotEstimable(Cause.ONE_PHASE)
    constant = effects(((0.5, 1.0), (0.5, 0.0)))
    assert heterogeneity(constant) == NotEstimable(Cause.ZERO_VARIANCE)
