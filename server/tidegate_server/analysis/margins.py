"""Not worse by more than a margin, and equal within a margin.

"Not significantly worse" is no proof of harmlessness: a test that is too small never finds harm.
Here harm beyond the margin is the null, and must be refuted.
"""

import math
from dataclasses import dataclass

from tidegate_server.analysis.effects import Alternative, Effect, difference, log_ratio
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, scaled


@dataclass(frozen=True, slots=True)
class Margin:
    """How much worse is tolerable.

    size: > 0; as a part of the control's magnitude if `relative` (then < 1), else in the outcome's
    unit.

    Raises:
        ValueError: the size is out of range.
    """

    size: float
    relative: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.size < (1.0 if self.relative else math.inf):
            raise ValueError(f"size: must be a number > 0 (and < 1 if relative), not {self.size}")


@dataclass(frozen=True, slots=True)
class MarginTest:
    """Whether a margin is kept. p_value: in (0, 1]. shown: p_value < alpha."""

    p_value: float
    shown: bool


def non_inferiority(
    control: Figure,
    treatment: Figure,
    margin: Margin,
    *,
    higher_is_better: bool,
    alpha: float = 0.05,
) -> MarginTest | NotEstimable:
    """Test that the treatment is not worse than the control by the margin or more, one-sided.

    A relative margin is tested on the log-ratio, and where a figure is 0 or signs differ on
    treatment - (1 ± margin) · control, as Fieller would (1954, JRSS B 16, 175-185). Source of the
    test: ICH E9 (1998), §3.3.2; Blackwelder 1982, Controlled Clin. Trials 3, 345-353.
    """
    shifted = _shifted(control, treatment, margin, falling=higher_is_better)
    if isinstance(shifted, NotEstimable):
        return shifted
    effect, null, falling = shifted
    p_value = effect.p_value(Alternative.GREATER if falling else Alternative.LESS, null)
    if isinstance(p_value, NotEstimable):
        return p_value
    return MarginTest(p_value, p_value < alpha)


def equivalence(
    control: Figure, treatment: Figure, margin: Margin, *, alpha: float = 0.05
) -> MarginTest | NotEstimable:
    """Test that the arms differ by less than the margin, either way: two one-sided tests.

    Both must hold, so the larger p-value counts and alpha need not be split (Schuirmann 1987,
    J. Pharmacokin. Biopharm. 15, 657-680).
    """
    sides = [
        non_inferiority(control, treatment, margin, higher_is_better=side, alpha=alpha)
        for side in (True, False)
    ]
    for each in sides:
        if isinstance(each, NotEstimable):
            return each
    p_value = max(each.p_value for each in sides if isinstance(each, MarginTest))
    return MarginTest(p_value, p_value < alpha)


def _shifted(
    control: Figure, treatment: Figure, margin: Margin, *, falling: bool
) -> tuple[Effect, float, bool] | NotEstimable:
    """Return an effect, its value where the margin is just reached, and whether worse is lower.

    falling: whether being worse means a lower figure.
    """
    if not margin.relative:
        effect, null = difference(control, treatment), -margin.size if falling else margin.size
        return effect if isinstance(effect, NotEstimable) else (effect, null, falling)
    shrinking = falling == (control.value >= 0)
    factor = 1 - margin.size if shrinking else 1 + margin.size
    ratio = log_ratio(control, treatment)
    if isinstance(ratio, Effect):
        return ratio, math.log(factor), shrinking
    if ratio.cause is not Cause.NOT_POSITIVE:
        return ratio
    effect = difference(scaled(control, factor), treatment)
    return effect if isinstance(effect, NotEstimable) else (effect, 0.0, falling)
