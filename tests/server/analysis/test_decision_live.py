"""The whole chain: planned sizes, clustered requests, live aggregates, 20 looks, a decision.

Users have ten requests in the mean, latencies that are skewed and alike within a user, errors that
some users have more often, and give one rating each.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from tests.server.analysis.simulation import monte_carlo_error, outcome, requests, users
from tidegate_server.analysis.aggregates import OutcomeAggregate
from tidegate_server.analysis.clusters import unit_deviation
from tidegate_server.analysis.confidence_sequence import Tuning, effective_size, for_harm
from tidegate_server.analysis.decision import (
    Evidence,
    Goal,
    Guardrail,
    MetricEvidence,
    Verdict,
    judge,
)
from tidegate_server.analysis.evidence import sequence_source
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.means import mean_figure
from tidegate_server.analysis.merge import merge_outcomes
from tidegate_server.analysis.planning import Design, plan, relative_metric
from tidegate_server.analysis.spread import PhaseFigures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LOOKS, PER_USER, RUNS = 20, 10, 100
ERROR_RATE, ERROR_ICC = 0.05, 0.05
ROLES: dict[str, Goal | Guardrail] = {
    "rating": Goal(),
    "latency_ms": Guardrail(0.2),
    "error": Guardrail(0.2),
}


@dataclass(frozen=True, slots=True)
class Truth:
    """What the treatment does: factors on the control's figures."""

    rating: float = 1.0
    latency: float = 1.0
    error: float = 1.0


def planned(share: float) -> int:
    """Return the users of both arms that show goal and guardrails together with power 0.95."""
    clusters = (PER_USER, 0.25, 0.95)
    metrics = [
        relative_metric("rating", 4.0, 1.2, 0.08),
        relative_metric("latency_ms", 1.65, unit_deviation(2.16, *clusters), 0.2),
        relative_metric("error", 0.05, unit_deviation(0.218, PER_USER, ERROR_ICC, 0.95), 0.2),
    ]
    return plan(metrics, Design(power=1 - 0.05 / 3, share=share)).units


def arrivals(rng: np.random.Generator, number: int, truth: Truth) -> dict[str, OutcomeAggregate]:
    """Return what `number` new users report."""
    who = users(rng, number)
    hashes, latencies = requests(rng, who, PER_USER)
    spread = 1 / ERROR_ICC - 1
    rate = ERROR_RATE * truth.error
    prone = rng.beta(rate * spread, (1 - rate) * spread, number)
    order = np.argsort(who.unit_hash)
    user = order[np.searchsorted(who.unit_hash, hashes, sorter=order)]
    errors = (rng.random(hashes.size) < prone[user]).astype(np.float64)
    return {
        "rating": outcome(who.unit_hash, rng.normal(4.0, 1.2, number) * truth.rating),
        "latency_ms": outcome(hashes, latencies * truth.latency),
        "error": outcome(hashes, errors),
    }


def figure(of: OutcomeAggregate) -> Figure:
    result = mean_figure(of.cells)
    assert isinstance(result, Figure)
    return result


def run(
    rng: np.random.Generator, share: float, truth: Truth, tolerance: float | None
) -> tuple[Verdict, float]:
    """Look until the decision ends it; return the verdict and the information then."""
    total = planned(share)
    steps = round(total * (1 - share) / LOOKS), round(total * share / LOOKS)
    tuning = Tuning(effective_size(LOOKS * steps[0], LOOKS * steps[1]))
    seen = [arrivals(rng, n, t) for n, t in zip(steps, (Truth(), truth), strict=True)]
    verdict = Verdict.NO_DATA
    for look in range(1, LOOKS + 1):
        units = float(look * steps[0]), float(look * steps[1])
        metrics = []
        for name, role in ROLES.items():
            figures = [PhaseFigures(figure(seen[0][name]), figure(seen[1][name]), *units)]
            bounds, harm = (sequence_source(figures, each) for each in (tuning, for_harm(tuning)))
            higher = name == "rating"
            metrics.append(MetricEvidence(name, role, higher, bounds, 0.0, tolerance, harm=harm))
        verdict = judge(Evidence(tuple(metrics), min(units), look / LOOKS)).verdict
        if verdict not in (Verdict.PASS, Verdict.INSUFFICIENT):
            return verdict, look / LOOKS
        for arm, (n, true) in enumerate(zip(steps, (Truth(), truth), strict=True)):
            new = arrivals(rng, n, true)
            seen[arm] = {name: merge_outcomes(seen[arm][name], new[name]) for name in new}
    return verdict, 1.0


def share_of(
    verdict: Verdict, share: float, truth: Truth, *, tolerance: float | None = 0.05, by: float = 1.0
) -> float:
    rng = np.random.default_rng([round(100 * each) for each in (share, truth.rating, truth.error)])
    ends = [run(rng, share, truth, tolerance) for _ in range(RUNS)]
    return sum(end is verdict and at <= by for end, at in ends) / RUNS


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_without_an_effect_at_most_five_percent_are_wrong(share: float) -> None:
    rng = np.random.default_rng(round(100 * share))
    ends = [run(rng, share, Truth(), 0.05)[0] for _ in range(RUNS)]
    wrong = sum(end in (Verdict.WIN, Verdict.BREACH) for end in ends) / RUNS
    assert wrong <= 0.05 + 3 * monte_carlo_error(0.05, RUNS)


def test_a_better_and_harmless_treatment_is_promoted() -> None:
    assert share_of(Verdict.WIN, 0.5, Truth(rating=1.08)) >= 0.85


def test_a_slow_canary_is_rolled_back_within_a_fifth() -> None:
    early = share_of(Verdict.BREACH, 0.1, Truth(latency=1.3), tolerance=0.0, by=0.2)
    assert early >= 0.99 - 3 * monte_carlo_error(0.01, RUNS)


def test_errors_just_at_the_margin_are_promoted_in_at_most_five_percent() -> None:
    promoted = share_of(Verdict.WIN, 0.5, Truth(rating=1.2, error=1.2), tolerance=None)
    assert promoted <= 0.05 + 3 * monte_carlo_error(0.05, RUNS)
