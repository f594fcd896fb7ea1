"""What one look at the evidence says: a verdict and its reasons."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.evidence import Bounds, Scale, Source
from tidegate_server.analysis.looks import EffectRule as EffectRule
from tidegate_server.analysis.looks import Verdict as Verdict
from tidegate_server.analysis.quality import Quality


@dataclass(frozen=True, slots=True)
class Goal:
    """The metric that must improve. min_effect: >= 0, by how much."""

    min_effect: float = 0.0
    rule: EffectRule = EffectRule.BOUND


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A metric that must be shown not to be worse than control by `margin` > 0."""

    margin: float


@dataclass(frozen=True, slots=True)
class MetricEvidence:
    """What is known of one metric.

    bounds, point: of treatment less control on `scale`, in which all limits are given too.
    tolerance: >= 0, how much worse is no cause to roll back; it is not the guardrail's margin: a
        harm that is tolerable must not roll back, though it may not be promoted. None: never.
    detectable: the true effect that this evidence would have found, as the report shows it.
    harm: the bounds that tell whether to roll back, if they are others (`for_harm`).
    settled: why a guardrail holds though no bounds can be given, in words; empty: it must be shown.
    """

    name: str
    role: Goal | Guardrail
    higher_is_better: bool
    bounds: Source
    point: float | NotEstimable
    tolerance: float | None
    scale: Scale = Scale.RELATIVE
    detectable: float | NotEstimable | None = None
    harm: Source | None = None
    settled: str = ""

    def gain(self, alpha: float) -> Bounds | NotEstimable:
        """Return the bounds of the improvement: positive is better."""
        return self._gain(self.bounds(alpha))

    def least_harmed(self, alpha: float) -> Bounds | NotEstimable:
        """Return the same, of the bounds that tell whether to roll back."""
        return self._gain((self.harm or self.bounds)(alpha))

    def _gain(self, found: Bounds | NotEstimable) -> Bounds | NotEstimable:
        if isinstance(found, NotEstimable) or self.higher_is_better:
            return found
        return Bounds(-found.upper, -found.lower)

    def amount(self, value: float) -> str:
        """Write a size on this metric's scale."""
        if math.isinf(value):
            return "any amount"
        return f"{value:.3g}" if self.scale is Scale.ABSOLUTE else f"{value:.1%}"


SOUND = Quality()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One look.

    metrics: none twice. units: of the smaller arm, >= 0. information: the part of the planned
    size that is there, >= 0. quality: the faults of the evidence. ceilings: absolute ceilings and
    crash breakers that were broken, in words; they act at once.
    """

    metrics: tuple[MetricEvidence, ...]
    units: float
    information: float
    quality: Quality = SOUND
    ceilings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """The levels of a decision.

    alpha: of each promise, in (0, 0.5). min_units: the burn-in: how many there must be in the
    smaller arm before anything is said but ceilings.
    """

    alpha: float = 0.05
    min_units: float = 300


DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reasons in words, at least one."""

    verdict: Verdict
    reasons: tuple[str, ...]


def judge(evidence: Evidence, options: Options = DEFAULTS) -> Judgement:
    """Return the verdict of one look, with its reasons.

    The first of these that applies (design §6 and §7):

    1. BREACH: a ceiling is broken; or, after the burn-in, for any metric the one-sided bound of
       harm at alpha / number of metrics exceeds its tolerance. Faults of the evidence do not keep
       from rolling back: that is the safe side.
    2. SAMPLE_RATIO_MISMATCH, OUTAGE: the evidence can't be trusted: never promote on it.
    3. NO_DATA: no units in one arm.
    4. INSUFFICIENT: the burn-in is not over.
    5. WIN: the goals reach their minimum effects and all guardrails are shown non-inferior at their
       margins, each at alpha: since all must hold, alpha is not split (Berger 1982, Technometrics
       24, 295-300).
    6. LOSE: a goal's upper bound lies below its minimum effect.
    7. FLAT at the planned size, else PASS.

    With always-valid bounds the promises hold over all looks together; with fixed ones for one look
    at the planned size.
    """
    ready = evidence.units >= options.min_units
    harms = [*evidence.ceilings]
    if ready:
        harms += _harms(evidence.metrics, options.alpha)
    if harms:
        return Judgement(Verdict.BREACH, tuple(harms))
    if evidence.quality.mismatch:
        reasons = (evidence.quality.mismatch, *evidence.quality.others)
        return Judgement(Verdict.SAMPLE_RATIO_MISMATCH, reasons)
    if evidence.quality.others:
        return Judgement(Verdict.OUTAGE, evidence.quality.others)
    if evidence.units == 0:
        return Judgement(Verdict.NO_DATA, ("one arm has no units",))
    if not ready:
        wanted = f"{evidence.units:,.0f} units in the smaller arm, {options.min_units:,.0f} needed"
        return Judgement(Verdict.INSUFFICIENT, (wanted,))
    return _weigh(evidence, options.alpha)


def _weigh(evidence: Evidence, alpha: float) -> Judgement:
    """Return the verdict where the evidence is good and no harm is shown."""
    gains = [(each, each.gain(alpha)) for each in evidence.metrics]
    missing = [text for metric, gain in gains if (text := _missing(metric, gain))]
    if gains and not missing:
        return Judgement(Verdict.WIN, tuple(_shown(metric, gain) for metric, gain in gains))
    futile = [text for metric, gain in gains if (text := _futile(metric, gain))]
    if futile:
        return Judgement(Verdict.LOSE, tuple(futile))
    if evidence.information >= 1:
        return Judgement(Verdict.FLAT, ("the planned size is reached", *missing))
    return Judgement(Verdict.PASS, tuple(missing) or ("no metric is to be shown",))


def _harms(metrics: Sequence[MetricEvidence], alpha: float) -> Iterator[str]:
    for each in metrics:
        if each.tolerance is None:
            continue
        gain = each.least_harmed(alpha / len(metrics))
        if isinstance(gain, Bounds) and -gain.upper > each.tolerance:
            worse, tolerated = each.amount(-gain.upper), each.amount(each.tolerance)
            yield f"{each.name} is worse by at least {worse}; {tolerated} is tolerated"


def _missing(metric: MetricEvidence, gain: Bounds | NotEstimable) -> str:
    """Say what is still to be shown of one metric; empty if nothing is."""
    if metric.settled:
        return ""
    if isinstance(gain, NotEstimable):
        return f"{metric.name}: {gain}"
    if isinstance(metric.role, Guardrail):
        if gain.lower > -metric.role.margin:
            return ""
        could, limit = metric.amount(-gain.lower), metric.amount(metric.role.margin)
        return f"{metric.name} could be worse by {could}; the margin is {limit}"
    least = metric.role.min_effect
    if metric.role.rule is EffectRule.BOUND:
        reached = gain.lower > least
    else:
        reached = gain.lower > 0 and _point_reaches(metric, least)
    return "" if reached else _open_goal(metric, gain, least)


def _point_reaches(metric: MetricEvidence, least: float) -> bool:
    if isinstance(metric.point, NotEstimable):
        return False
    return (metric.point if metric.higher_is_better else -metric.point) > least


def _open_goal(metric: MetricEvidence, gain: Bounds, least: float) -> str:
    text = (
        f"{metric.name} is better by {metric.amount(gain.lower)} to {metric.amount(gain.upper)}; "
        f"{metric.amount(least)} is wanted"
    )
    if isinstance(metric.detectable, float):
        text += f" (detectable: {metric.amount(metric.detectable)})"
    return text


def _shown(metric: MetricEvidence, gain: Bounds | NotEstimable) -> str:
    if isinstance(gain, NotEstimable):
        return metric.settled
    if isinstance(metric.role, Guardrail):
        limit = metric.amount(metric.role.margin)
        return f"{metric.name} is worse by at most {metric.amount(-gain.lower)}; margin {limit}"
    return f"{metric.name} is better by at least {metric.amount(gain.lower)}"


def _futile(metric: MetricEvidence, gain: Bounds | NotEstimable) -> str:
    if isinstance(metric.role, Guardrail) or isinstance(gain, NotEstimable):
        return ""
    if gain.upper >= metric.role.min_effect:
        return ""
    most, wanted = metric.amount(gain.upper), metric.amount(metric.role.min_effect)
    return f"{metric.name} is better by at most {most}; {wanted} is wanted"
