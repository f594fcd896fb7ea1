"""What has occurred in neither arm: there is no ratio, but the treatment can't have much of it.

Where a share p or more of the treatment's units meet an error, n units meet none with a chance of
at most (1 - p)^n. So at level alpha p is below 1 - alpha^(1/n), about 3 / n at 5 % (the "rule of
three", Hanley and Lippman-Hand 1983, J. Am. Med. Assoc. 249, 1743-1745). It holds for any number
of looks: whichever one it is that is fooled, the first n units, for one n, must have met none.
"""

from collections.abc import Iterable, Mapping

from tidegate.model import Phase
from tidegate_server.analysis.decision import Guardrail
from tidegate_server.analysis.phases import Pair
from tidegate_server.domain.comparisons import UnitsOfPair, at_least
from tidegate_server.domain.experiments.judged import JudgedMetric
from tidegate_server.domain.experiments.plan import MetricName, Plan

RATES = frozenset({MetricName("error")})
"""Metrics that are 0 or 1 in each event: a share of units says something of them."""


def occurred_nowhere(pairs: Iterable[Pair]) -> bool:
    """Return whether all events of both arms are 0."""
    return all(each.value == each.standard_error == 0.0 for pair in pairs for each in pair)


def treated_at_least(pairs: Mapping[Phase, Pair], units: Mapping[Phase, UnitsOfPair]) -> float:
    """Return how many of the treatment's units have such events: no more than there are events."""
    return sum(min(at_least(units[phase][1]), pair[1].events) for phase, pair in pairs.items())


def settled_by_ceiling(plan: Plan, judged: JudgedMetric, units: float) -> str:
    """Say that a rate with a margin is shown to keep the plan's ceiling on it; empty: it is not.

    units: of the treatment, none of which has met one, >= 0.
    """
    limits = [each.limit for each in plan.ceilings if each.metric == judged.name and not each.floor]
    if judged.name not in RATES or not isinstance(judged.role, Guardrail) or not (limits and units):
        return ""
    most = 1 - plan.quality.alpha ** (1 / units)
    if most >= min(limits):
        return ""
    return (
        f"{judged.name} occurred in neither arm: at most {most:.2%} of {plan.treatment}'s units "
        f"meet one; {min(limits):.3g} is allowed"
    )
