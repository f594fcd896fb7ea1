"""The classic rule, for those who ask for it: enough samples, p < 0.05, improvement above 5 %.

It is honest only if evaluated once, at a size planned beforehand, on errors that respect units.
Looked at every ten seconds on request-level errors it promotes or rolls back nearly always.
"""

from dataclasses import dataclass

from tidegate_server.analysis.comparison import Estimate
from tidegate_server.analysis.decision import Judgement, Verdict
from tidegate_server.analysis.estimable import NotEstimable


@dataclass(frozen=True, slots=True)
class ClassicRule:
    """What the rule asks for.

    planned: samples of the smaller arm at which the rule is evaluated, once. min_samples: in each
    arm, at the least. alpha: in (0, 1), two-sided. min_effect: the relative improvement that the
    estimate must exceed, >= 0.
    """

    planned: int
    min_samples: int = 1_000
    alpha: float = 0.05
    min_effect: float = 0.05


def judge_once(
    rule: ClassicRule,
    estimate: Estimate | NotEstimable,
    samples: tuple[int, int],
    *,
    higher_is_better: bool,
) -> Judgement:
    """Return WIN, LOSE or FLAT at the planned size, INSUFFICIENT before.

    samples: of control and treatment. Who calls again after another verdict than INSUFFICIENT makes
    it another test: keep the first.
    """
    needed, smaller = max(rule.planned, rule.min_samples), min(samples)
    if smaller < needed:
        wanted = f"{smaller:,} samples in the smaller arm, {needed:,} needed: not evaluated yet"
        return Judgement(Verdict.INSUFFICIENT, (wanted,))
    if isinstance(estimate, NotEstimable):
        return Judgement(Verdict.INSUFFICIENT, (str(estimate),))
    relative = estimate.relative_difference
    if isinstance(relative, NotEstimable):
        return Judgement(Verdict.INSUFFICIENT, (str(relative),))
    gain = relative if higher_is_better else -relative
    reasons = (f"p = {estimate.p_value:.2g}", f"improvement {gain:.1%}")
    if estimate.p_value >= rule.alpha or -rule.min_effect <= gain <= rule.min_effect:
        return Judgement(Verdict.FLAT, reasons)
    return Judgement(Verdict.WIN if gain > 0 else Verdict.LOSE, reasons)
