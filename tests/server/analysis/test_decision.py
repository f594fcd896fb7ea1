"""The verdicts in their order, and how often the whole decision is wrong."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.server.analysis.simulation import monte_carlo_error
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.confidence_sequence import Tuning, effective_size, for_harm
from tidegate_server.analysis.decision import (
    EffectRule,
    Evidence,
    Goal,
    Guardrail,
    Judgement,
    MetricEvidence,
    Options,
    Verdict,
    judge,
)
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.evidence import Bounds, Scale, fixed_source, sequence_source
from tidegate_server.analysis.figures import Figure, bare_figure
from tidegate_server.analysis.quality import Quality
from tidegate_server.analysis.sequence_margins import Horizon, one_sided_margin
from tidegate_server.analysis.spread import PhaseFigures


def metric(
    role: Goal | Guardrail,
    lower: float,
    upper: float,
    *,
    tolerance: float | None = 0.1,
    higher: bool = True,
    point: float | NotEstimable = 0.0,
    name: str = "rating",
) -> MetricEvidence:
    return MetricEvidence(name, role, higher, lambda _: Bounds(lower, upper), point, tolerance)


def look(*metrics: MetricEvidence, units: float = 1_000, information: float = 0.5) -> Evidence:
    return Evidence(metrics, units, information)


GOOD = metric(Goal(0.05), 0.06, 0.2)
HARMLESS = metric(Guardrail(0.1), -0.2, 0.05, higher=False, name="latency_ms")
HARMFUL = metric(Guardrail(0.05), 0.15, 0.4, higher=False, name="latency_ms")


def test_shown_better_and_harmless_wins() -> None:
    result = judge(look(GOOD, HARMLESS))
    assert result.verdict is Verdict.WIN
    assert result.reasons == (
        "rating is better by at least 6.0%",
        "latency_ms is worse by at most 5.0%; margin 10.0%",
    )


def test_one_harm_rolls_back_whatever_else_is_good() -> None:
    result = judge(look(GOOD, HARMFUL))
    assert result.verdict is Verdict.BREACH
    assert result.reasons == ("latency_ms is worse by at least 15.0%; 10.0% is tolerated",)


def test_harm_may_have_bounds_of_its_own() -> None:
    """They tell whether to roll back; the others whether it may be promoted."""
    harmed = replace(HARMLESS, harm=HARMFUL.bounds)
    assert judge(look(GOOD, harmed)) == judge(look(GOOD, replace(HARMFUL, role=HARMLESS.role)))
    assert judge(look(GOOD, replace(HARMFUL, harm=HARMLESS.bounds))).verdict is Verdict.PASS


def test_harm_is_judged_at_alpha_over_the_number_of_metrics() -> None:
    asked = []

    def bounds(alpha: float) -> Bounds:
        asked.append(alpha)
        return Bounds(-1.0, 1.0)

    judge(look(*(replace(HARMLESS, bounds=bounds) for _ in range(4))), Options(alpha=0.04))
    assert set(asked) == {0.01, 0.04}


def test_a_tolerable_harm_neither_rolls_back_nor_is_promoted() -> None:
    tolerable = replace(HARMFUL, tolerance=0.3)
    result = judge(look(GOOD, tolerable))
    assert result.verdict is Verdict.PASS
    assert result.reasons == ("latency_ms could be worse by 40.0%; the margin is 5.0%",)
    assert judge(look(GOOD, replace(HARMFUL, tolerance=None))).verdict is Verdict.PASS


def test_not_significantly_worse_is_not_shown_harmless() -> None:
    unknown = metric(Guardrail(0.1), -0.5, 0.5, higher=False)
    assert judge(look(GOOD, unknown)).verdict is Verdict.PASS


def test_ceilings_act_before_anything_else() -> None:
    evidence = replace(look(GOOD, units=0), ceilings=("error is 9 % over 2m; the ceiling is 5 %",))
    assert judge(evidence).verdict is Verdict.BREACH
    assert judge(evidence).reasons == evidence.ceilings


def test_before_the_burn_in_nothing_else_acts() -> None:
    result = judge(look(HARMFUL, units=299))
    assert result.verdict is Verdict.INSUFFICIENT
    assert result.reasons == ("299 units in the smaller arm, 300 needed",)
    assert judge(look(GOOD, units=0)).verdict is Verdict.NO_DATA


@pytest.mark.parametrize(
    ("quality", "verdict"),
    [
        (Quality(mismatch="units are not split as promised"), Verdict.SAMPLE_RATIO_MISMATCH),
        (Quality("mismatch", ("lost",)), Verdict.SAMPLE_RATIO_MISMATCH),
        (Quality(others=("outcomes were lost: v1 3.00%",)), Verdict.OUTAGE),
    ],
)
def test_faults_of_the_evidence_hold_but_never_promote(quality: Quality, verdict: Verdict) -> None:
    evidence = replace(look(GOOD, HARMLESS), quality=quality)
    assert judge(evidence).verdict is verdict
    assert judge(replace(evidence, metrics=(GOOD, HARMFUL))).verdict is Verdict.BREACH


def test_an_arm_that_lacks_all_its_units_is_a_mismatch_and_not_only_no_data() -> None:
    evidence = replace(look(GOOD, units=0), quality=Quality("units are not split as promised"))
    assert judge(evidence).verdict is Verdict.SAMPLE_RATIO_MISMATCH


def test_a_goal_out_of_reach_is_futile() -> None:
    result = judge(look(metric(Goal(0.05), -0.08, 0.04), HARMLESS))
    assert result.verdict is Verdict.LOSE
    assert result.reasons == ("rating is better by at most 4.0%; 5.0% is wanted",)


def test_at_the_planned_size_undecided_is_flat() -> None:
    undecided = replace(metric(Goal(0.05), -0.01, 0.08), detectable=0.07)
    assert judge(look(undecided)).verdict is Verdict.PASS
    result = judge(look(undecided, information=1.0))
    assert result.verdict is Verdict.FLAT
    assert result.reasons[1] == (
        "rating is better by -1.0% to 8.0%; 5.0% is wanted (detectable: 7.0%)"
    )


@pytest.mark.parametrize(
    ("lower", "point", "rule", "verdict"),
    [
        (0.01, 0.06, EffectRule.POINT, Verdict.WIN),
        (0.01, 0.06, EffectRule.BOUND, Verdict.PASS),
        (0.01, 0.04, EffectRule.POINT, Verdict.PASS),
        (-0.01, 0.06, EffectRule.POINT, Verdict.PASS),
        (0.06, 0.10, EffectRule.BOUND, Verdict.WIN),
        (0.01, NotEstimable(Cause.ZERO_CONTROL), EffectRule.POINT, Verdict.PASS),
    ],
)
def test_the_minimum_effect_is_read_by_its_rule(
    lower: float, point: float | NotEstimable, rule: EffectRule, verdict: Verdict
) -> None:
    goal = metric(Goal(0.05, rule), lower, 0.2, point=point)
    assert judge(look(goal)).verdict is verdict
    mirrored = point if isinstance(point, NotEstimable) else -point
    lower_is_better = metric(Goal(0.05, rule), -0.2, -lower, point=mirrored, higher=False)
    assert judge(look(lower_is_better)).verdict is verdict


def test_what_is_not_estimable_is_not_shown_and_not_a_breach() -> None:
    missing = replace(HARMLESS, bounds=lambda _: NotEstimable(Cause.NO_EVENTS, "treatment"))
    result = judge(look(GOOD, missing))
    assert result.verdict is Verdict.PASS
    assert result.reasons == ("latency_ms: treatment: no events",)
    unknown_goal = replace(GOOD, bounds=missing.bounds)
    assert judge(look(unknown_goal)).verdict is Verdict.PASS


def test_without_metrics_nothing_is_promoted() -> None:
    assert judge(look()).verdict is Verdict.PASS


def test_absolute_scales_are_written_as_they_are() -> None:
    result = judge(look(replace(HARMFUL, scale=Scale.ABSOLUTE)))
    assert result.reasons == ("latency_ms is worse by at least 0.15; 0.1 is tolerated",)


def estimate(control: Figure, treatment: Figure) -> Estimate:
    result = compare(control, treatment)
    assert isinstance(result, Estimate)
    return result


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_fixed_bounds_are_those_of_the_estimate(sign: float) -> None:
    control, treatment = (bare_figure(sign * m, 0.1, 0.1, 99) for m in (10.0, 10.5))
    found = estimate(control, treatment)
    assert not isinstance(found.relative_interval, NotEstimable)
    relative = fixed_source(found)(0.025)
    assert isinstance(relative, Bounds)
    assert relative.lower == pytest.approx(found.relative_interval.lower)
    assert relative.upper == pytest.approx(found.relative_interval.upper)
    absolute = fixed_source(found, Scale.ABSOLUTE)(0.025)
    assert isinstance(absolute, Bounds)
    assert absolute.lower == pytest.approx(found.interval.lower)


def test_without_a_ratio_there_are_no_relative_bounds() -> None:
    found = estimate(bare_figure(0.0, 0.0, 0.1, 99), bare_figure(1.0, 0.1, 0.1, 99))
    assert fixed_source(found)(0.05) == NotEstimable(Cause.NOT_POSITIVE)
    phases = [PhaseFigures(bare_figure(-1.0, 0.1, 0.1, 9), bare_figure(1.0, 0.1, 0.1, 9), 400, 400)]
    assert sequence_source(phases, Tuning(800))(0.05) == NotEstimable(Cause.NOT_POSITIVE)
    early = sequence_source(phases, Tuning(800, burn_in=500))(0.05)
    assert isinstance(early, NotEstimable)
    assert early.cause is Cause.BURN_IN


NO_ERRORS = bare_figure(0.0, 0.0, 0.0, 99)
SURE, VAGUE = bare_figure(1.0, 0.1, 0.1, 99), bare_figure(1.0, 0.5, 0.5, 99)
TUNING = Tuning(800)


def bounds_of(control: Figure, treatment: Figure) -> Bounds:
    found = sequence_source([PhaseFigures(control, treatment, 400, 400)], TUNING)(0.05)
    assert isinstance(found, Bounds)
    return found


def test_relative_bounds_where_one_arm_has_no_errors() -> None:
    """The bound r is where treatment less r times control is k errors of that from 0."""
    ratio = math.sqrt((1 / one_sided_margin(1.0, 0.05, Horizon.PLANNED)) ** 2 - 0.1**2) / 0.1
    found = bounds_of(NO_ERRORS, SURE)
    assert found.lower == pytest.approx(ratio - 1)
    assert found.upper == math.inf
    found = bounds_of(SURE, NO_ERRORS)
    assert found.lower == -1
    assert found.upper == pytest.approx(1 / ratio - 1)
    assert bounds_of(NO_ERRORS, VAGUE) == bounds_of(VAGUE, NO_ERRORS) == Bounds(-1, math.inf)


def test_without_any_error_nothing_is_shown() -> None:
    phases = [PhaseFigures(NO_ERRORS, NO_ERRORS, 400, 400)]
    assert sequence_source(phases, TUNING)(0.05) == NotEstimable(Cause.ZERO_VARIANCE)


def test_harm_is_seen_where_the_control_has_no_errors() -> None:
    def judged(treatment: Figure) -> Judgement:
        source = sequence_source([PhaseFigures(NO_ERRORS, treatment, 400, 400)], TUNING)
        error = MetricEvidence("error", Guardrail(0.1), False, source, 1.0, 0.5)
        return judge(Evidence((error,), 400, 0.5))

    assert judged(SURE).verdict is Verdict.BREACH
    says = "error could be worse by any amount; the margin is 10.0%"
    assert judged(VAGUE) == Judgement(Verdict.PASS, (says,))


def test_bounds_too_large_for_floating_point() -> None:
    found = estimate(bare_figure(1.0, 900.0, 900.0, 99), bare_figure(1.0, 0.1, 0.1, 99))
    assert fixed_source(found)(0.05) == NotEstimable(Cause.OVERFLOW)


def mean(values: np.ndarray) -> Figure:
    error = float(values.std(ddof=1)) / values.size**0.5
    return bare_figure(float(values.mean()), error, error, values.size, values.size - 1)


PLANNED = 8_000
"""Effective size: units of an even test."""


def compared(
    name: str, role: Goal | Guardrail, phases: list[PhaseFigures], *, higher: bool
) -> MetricEvidence:
    tunings = Tuning(PLANNED), for_harm(Tuning(PLANNED))
    bounds, harm = (sequence_source(phases, each) for each in tunings)
    return MetricEvidence(name, role, higher, bounds, 0.0, 0.05, harm=harm)


def run(
    rng: np.random.Generator,
    share: float,
    rating_lift: float = 0.0,
    latency_lift: float = 0.0,
    looks: int = 20,
) -> tuple[Verdict, float]:
    """Look until the decision ends it; return the last verdict and the information then.

    Rating: deviation 40 % of the mean; latency: heavy-tailed. Both one value a unit, the mean of
    its requests.
    """
    total = round(PLANNED / (4 * share * (1 - share)))
    sizes = round(total * (1 - share)), round(total * share)
    lifts = ((0.0, 0.0), (rating_lift, latency_lift))
    ratings = [rng.gamma(6.25, 1, n) * (1 + up) for n, (up, _) in zip(sizes, lifts, strict=True)]
    latencies = [
        rng.lognormal(0, 0.6, n) * (1 + up) for n, (_, up) in zip(sizes, lifts, strict=True)
    ]
    verdict, fraction = Verdict.PASS, 0.0
    for fraction in (np.arange(looks) + 1) / looks:
        seen = [round(n * fraction) for n in sizes]
        units = float(seen[0]), float(seen[1])
        rating, latency = (
            [PhaseFigures(mean(arms[0][: seen[0]]), mean(arms[1][: seen[1]]), *units)]
            for arms in (ratings, latencies)
        )
        metrics = (
            compared("rating", Goal(), rating, higher=True),
            compared("latency", Guardrail(0.1), latency, higher=False),
        )
        size = effective_size(*units) / PLANNED
        verdict = judge(Evidence(metrics, min(units), size)).verdict
        if verdict not in (Verdict.PASS, Verdict.INSUFFICIENT):
            break
    return verdict, float(fraction)


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_without_an_effect_at_most_five_percent_are_wrong(share: float) -> None:
    rng, runs = np.random.default_rng(round(100 * share)), 60
    verdicts = [run(rng, share)[0] for _ in range(runs)]
    wrong = sum(each in (Verdict.WIN, Verdict.BREACH) for each in verdicts) / runs
    assert wrong <= 0.05 + 3 * monte_carlo_error(0.05, runs)


def test_a_better_and_harmless_treatment_is_promoted() -> None:
    rng, runs = np.random.default_rng(1), 60
    verdicts = [run(rng, 0.5, rating_lift=0.08)[0] for _ in range(runs)]
    assert sum(each is Verdict.WIN for each in verdicts) / runs >= 0.85


def test_a_slow_canary_is_rolled_back_early() -> None:
    rng, runs = np.random.default_rng(2), 100
    ends = [run(rng, 0.1, rating_lift=0.08, latency_lift=0.3) for _ in range(runs)]
    early = sum(verdict is Verdict.BREACH and at <= 0.2 for verdict, at in ends) / runs
    assert early >= 0.99


def test_a_guardrail_just_at_its_margin_is_promoted_in_at_most_five_percent() -> None:
    """The rating is better, latency 10 % worse; no harm is tolerated less than that here."""
    rng, runs = np.random.default_rng(3), 80
    verdicts = [run(rng, 0.5, rating_lift=0.2, latency_lift=0.1)[0] for _ in range(runs)]
    promoted = sum(each is Verdict.WIN for each in verdicts) / runs
    assert promoted <= 0.05 + 3 * monte_carlo_error(0.05, runs)
