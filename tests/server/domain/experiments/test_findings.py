"""What a look finds in aggregates that the worker has folded."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.domain.experiments.samples import HOUR, MINUTE, NOW, PERCENT, PLAN
from tests.server.domain.experiments.traffic import (
    KEY,
    V1,
    V2,
    Traffic,
    Version,
    flag,
    hashes,
    moment,
)
from tidegate.model import PPM, Phase, SplitShare, VariantKey
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.comparison import Estimate
from tidegate_server.analysis.confidence_sequence import AlwaysValid, Reading
from tidegate_server.analysis.decision import Verdict
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.evidence import Bounds
from tidegate_server.analysis.merge import merge_arms
from tidegate_server.analysis.quality import ALPHA
from tidegate_server.analysis.windows import Resolution
from tidegate_server.domain.comparisons import SEQUENCE, Comparison
from tidegate_server.domain.events import Arm
from tidegate_server.domain.experiments.assessment import assess
from tidegate_server.domain.experiments.ceilings import windows_wanted
from tidegate_server.domain.experiments.findings import findings
from tidegate_server.domain.experiments.judged import judged_metrics
from tidegate_server.domain.experiments.look import CeilingReading, Findings, FlagSeen, Look
from tidegate_server.domain.experiments.plan import (
    Ceiling,
    Goal,
    Margin,
    MetricName,
    Plan,
    QualityRules,
    metric_name,
)
from tidegate_server.domain.experiments.rare import settled_by_ceiling
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.domain.metrics import Statistic
from tidegate_server.services.reports import Report, build_report

SECOND = timedelta(seconds=1)
ATTEMPT = State(status=Status.OBSERVING, share_ppm=5 * PERCENT, attempt=1, first_phase=2)
WIDE = replace(
    PLAN,
    goal=Goal(MetricName("rating"), planned_units=SEQUENCE.planned),
    guardrails=(
        Margin(MetricName("latency_ms", Statistic.P95), 0.2, 0.2),
        Margin(MetricName("error"), 0.2, 0.2),
        Ceiling(MetricName("error"), 0.05),
        Ceiling(metric_name("latency_ms.p99"), 400.0, window=timedelta(seconds=30)),
    ),
)


def traffic(seed: int = 1, share_ppm: int = 5 * PERCENT, **versions: Version) -> Traffic:
    known = {V1: Version(), V2: Version()} | {VariantKey(k): v for k, v in versions.items()}
    return Traffic(np.random.default_rng(seed), flag(share_ppm, phase=2), known)


def found(of: Traffic, plan: Plan = WIDE, state: State = ATTEMPT) -> Findings:
    return findings(plan, state, of.flag, of.arms, of.windows, of.now)


def bounds(of: Findings, index: int, alpha: float = 0.05) -> Bounds | NotEstimable:
    return of.evidence.metrics[index].bounds(alpha)


@pytest.fixture(scope="module")
def rollout() -> Traffic:
    """5 %, then 25 %: errors become fewer, the rest stays."""
    made = traffic(v2=Version(errors=0.01))
    made.come(8_000, 5 * MINUTE)
    made.split(25 * PERCENT)
    made.come(4_000, 5 * MINUTE)
    return made


def shown_in(report: Report, name: str) -> Comparison:
    wanted = metric_name(name)
    [shown] = [
        each
        for each in report.comparisons
        if (each.outcome, each.statistic) == (wanted.outcome, wanted.statistic)
    ]
    return shown


def test_without_a_goal_the_bounds_are_those_of_the_report(rollout: Traffic) -> None:
    """A report knows of no planned size; nor does a plan without a goal."""
    report = build_report(rollout.flag, rollout.arms, V1, 0, rollout.now)
    made = found(rollout, replace(WIDE, goal=None))
    for index, each in enumerate(made.evidence.metrics):
        look = shown_in(report, each.name).always_valid
        assert isinstance(look, AlwaysValid)
        reading = look.relative
        assert isinstance(reading, Reading)
        assert bounds(made, index) == Bounds(reading.lower, reading.upper)
        assert bounds(found(rollout), index + 1) != bounds(made, index)


def test_harm_is_looked_for_earlier_than_what_is_shown(rollout: Traffic) -> None:
    """Early bounds are tighter while there is little of the planned size."""
    made = found(rollout)
    assert made.evidence.information < 0.5
    for index, each in enumerate(made.evidence.metrics):
        assert each.harm is not None
        harm, shown = each.harm(0.05), bounds(made, index)
        assert isinstance(harm, Bounds)
        assert isinstance(shown, Bounds)
        assert shown.lower < harm.lower < harm.upper < shown.upper


def test_figures_are_those_of_the_report(rollout: Traffic) -> None:
    report = build_report(rollout.flag, rollout.arms, V1, 0, rollout.now)
    made = found(rollout)
    names = ["rating", "latency_ms.p95", "error"]
    assert [each.name for each in made.evidence.metrics] == names
    for each in made.evidence.metrics:
        shown = shown_in(report, each.name)
        assert isinstance(shown.estimate, Estimate)
        assert each.point == shown.estimate.relative_difference
        assert each.detectable == shown.detectable
        assert isinstance(shown.always_valid, AlwaysValid)
        assert min(shown.units) == made.evidence.units
        assert shown.always_valid.information == pytest.approx(made.evidence.information)
    assert [each.higher_is_better for each in made.evidence.metrics] == [True, False, False]
    assert made.evidence.quality == report.quality.quality
    assert made.stage_units == pytest.approx(1_000, rel=0.1)
    assert made.newest is not None
    assert timedelta(0) <= rollout.now - made.newest < 5 * SECOND
    assert made.absent == ()


@given(seed=st.integers(0, 100), shards=st.integers(2, 4))
@settings(max_examples=10, deadline=None)
def test_shards_make_no_difference(seed: int, shards: int) -> None:
    """Findings over aggregates that are merged from shards are those of all events together."""
    whole = traffic(seed, 25 * PERCENT)
    parts = [Traffic(np.random.default_rng(0), whole.flag) for _ in range(shards)]
    for number in range(8):
        for variant in (V1, V2):
            events = whole.visit(variant, 60, NOW)
            whole.record(events)
            parts[number % shards].record(events)
    merged: dict[Arm, ArmAggregate] = {}
    for part in parts:
        for arm, each in part.arms.items():
            merged[arm] = merge_arms(merged[arm], each) if arm in merged else each
    plan = replace(WIDE, quality=QualityRules(burn_in=100))
    left, right = (
        findings(plan, ATTEMPT, whole.flag, arms, whole.windows, whole.now)
        for arms in (whole.arms, merged)
    )
    for index in range(3):
        one, other = bounds(left, index), bounds(right, index)
        assert isinstance(one, Bounds)
        assert isinstance(other, Bounds)
        assert (one.lower, one.upper) == pytest.approx((other.lower, other.upper), rel=1e-6)
    for here, there in zip(left.ceilings, right.ceilings, strict=True):
        assert replace(here, slack=0.0) == replace(there, slack=0.0)
        assert here.slack == pytest.approx(there.slack, rel=1e-9)
    assert left.newest == right.newest
    assert left.stage_units == right.stage_units
    assert left.evidence.units == right.evidence.units


def test_earlier_attempts_and_units_outside_the_split_do_not_count() -> None:
    made = traffic()
    made.come(2_000, MINUTE)
    clean = found(made)
    bad = {"error": (hashes(made.rng, 500), np.ones(500)), "": (hashes(made.rng, 9), np.ones(9))}
    made.record(made.events(V2, bad, NOW, outside_split=True))
    made.record(made.events(V2, bad, NOW, phase=1))
    after = found(made)
    assert (after.ceilings, after.stage_units) == (clean.ceilings, clean.stage_units)
    assert [bounds(after, i) for i in range(3)] == [bounds(clean, i) for i in range(3)]
    assert found(made, state=replace(ATTEMPT, first_phase=1)).ceilings != clean.ceilings


def test_nothing_has_come_yet() -> None:
    made = found(traffic())
    assert (made.stage_units, made.newest, made.evidence.units) == (0.0, None, 0.0)
    assert made.evidence.information == 0.0
    assert made.absent == ("rating", "latency_ms.p95", "error", "latency_ms.p99")
    assert made.ceilings == (CeilingReading(NotEstimable(Cause.NO_EVENTS), 0),) * 2
    assert bounds(made, 0) == NotEstimable(Cause.NO_EVENTS, "control")
    judged = verdict(made, traffic())
    assert judged == (Verdict.NO_DATA, ("one arm has no units",))


def verdict(
    of: Findings, at: Traffic, plan: Plan = WIDE, state: State = ATTEMPT
) -> tuple[Verdict, tuple[str, ...]]:
    seen = FlagSeen(at.flag.split[0].ppm, at.flag.split[1].ppm, phase=at.flag.phase)
    judged = assess(plan, state, Look(seen, of), at.now)
    return judged.verdict, judged.reasons


def test_a_new_phase_has_no_data_until_its_first_events() -> None:
    made = traffic()
    made.come(20_000, MINUTE)
    assert verdict(found(made), made)[0] is Verdict.PASS
    made.split(25 * PERCENT)
    made.now += SECOND
    assert verdict(found(made), made) == (
        Verdict.NO_DATA,
        ("an arm has had no event since the split changed",),
    )
    made.come(100, SECOND)
    assert verdict(found(made), made)[0] is Verdict.INSUFFICIENT, "the stage asks for 300 units"
    made.come(2_000, SECOND)
    assert verdict(found(made), made)[0] is Verdict.PASS


def test_the_arm_that_is_silent_for_longest_counts() -> None:
    made = traffic(share_ppm=50 * PERCENT)
    made.come(2_000, MINUTE)
    made.now = NOW + 10 * MINUTE
    made.record(made.visit(V1, 10, made.now - SECOND))
    newest = found(made).newest
    assert newest is not None
    assert newest <= NOW + MINUTE
    assert verdict(found(made), made) == (
        Verdict.NO_DATA,
        ("an arm has had no event for 5m",),
    )


def test_absent_is_a_metric_that_an_arm_has_no_event_of() -> None:
    made = traffic(share_ppm=50 * PERCENT)
    made.come(2_000, MINUTE)
    tokens = metric_name("tokens.p95")
    plan = replace(WIDE, guardrails=(Margin(tokens, 0.1, 0.1), Ceiling(metric_name("cost"), 1.0)))
    made.record(made.events(V1, {"tokens": (hashes(made.rng, 5), np.ones(5))}, NOW))
    assert found(made, plan).absent == ("tokens.p95", "cost")
    rare = {"tokens": (hashes(made.rng, 1), np.ones(1)), "cost": (hashes(made.rng, 1), np.ones(1))}
    made.record(made.events(V2, rare, NOW))
    assert found(made, plan).absent == (), "a ceiling needs no events of the control"
    made.split(60 * PERCENT)
    made.come(100, SECOND)
    assert found(made, plan).absent == (), "what is rare may be missing in a phase"


def test_without_a_direction_nothing_is_decided() -> None:
    made = traffic(share_ppm=50 * PERCENT)
    made.come(2_000, MINUTE)
    made.record(made.events(V1, {"joy": (hashes(made.rng, 900), made.rng.random(900))}, NOW))
    made.record(made.events(V2, {"joy": (hashes(made.rng, 900), made.rng.random(900) / 9)}, NOW))
    plan = replace(PLAN, goal=Goal(metric_name("joy"), tolerance=0.1), guardrails=())
    judged, reasons = verdict(found(made, plan), made, plan)
    assert judged is Verdict.PASS
    assert reasons == ("joy: it is not known which way the metric is better",)


ERROR = MetricName("error")


def flawless(*ceilings: Ceiling, size: float = 10_000) -> tuple[Verdict, tuple[str, ...]]:
    """Return what is said of a test of 50 % in which nobody has met an error, by these ceilings."""
    guardrails: tuple[Margin | Ceiling, ...] = (Margin(ERROR, 0.2, 0.2), *ceilings)
    goal = Goal(MetricName("rating"), tolerance=0.1, planned_units=size)
    plan = replace(WIDE, goal=goal, guardrails=guardrails)
    made = traffic(share_ppm=50 * PERCENT, v1=Version(errors=0.0), v2=Version(0.5, 0.0, 4.4))
    made.come(4_000, MINUTE)
    return verdict(found(made, plan), made, plan)


def test_errors_in_neither_arm_are_as_few_as_the_ceiling_asks_for() -> None:
    judged, reasons = flawless(Ceiling(ERROR, 0.05))
    assert judged is Verdict.WIN
    assert reasons[1].startswith("error occurred in neither arm: at most 0.1")
    assert reasons[1].endswith("% of v2's units meet one; 0.05 is allowed")


@pytest.mark.parametrize(
    "ceilings",
    [
        pytest.param((), id="none"),
        pytest.param((Ceiling(ERROR, 0.001),), id="two thousand units can't show so little"),
        pytest.param((Ceiling(ERROR, 0.05), Ceiling(ERROR, 0.001, broken=1)), id="the lowest"),
        pytest.param((Ceiling(ERROR, 0.05, floor=True),), id="a floor"),
        pytest.param((Ceiling(MetricName("rating"), 9.0),), id="of another metric"),
    ],
)
def test_errors_in_neither_arm_show_no_margin_by_themselves(ceilings: tuple[Ceiling, ...]) -> None:
    judged, reasons = flawless(*ceilings)
    assert judged is Verdict.PASS
    assert reasons == (f"error: {Cause.NOTHING_OCCURRED}",)
    assert flawless(*ceilings, size=3_000)[0] is Verdict.FLAT


def test_nothing_that_is_no_rate_is_settled_by_its_ceiling() -> None:
    latency = MetricName("latency_ms")
    plan = replace(WIDE, guardrails=(Margin(latency, 0.2, 0.2), Ceiling(latency, 0.5)))
    for judged in judged_metrics(plan):
        assert settled_by_ceiling(plan, judged, 1e6) == ""


def test_no_errors_in_either_arm_are_no_harm() -> None:
    made = traffic(v1=Version(errors=0.0), v2=Version(errors=0.0))
    made.come(20_000, MINUTE)
    assert bounds(found(made), 2) == NotEstimable(Cause.NOTHING_OCCURRED)
    assert verdict(found(made), made)[0] is Verdict.PASS


def test_errors_where_the_control_has_none_are_harm() -> None:
    made = traffic(v1=Version(errors=0.0), v2=Version(errors=0.04))
    made.come(20_000, MINUTE)
    judged, reasons = verdict(found(made), made)
    assert judged is Verdict.BREACH
    assert reasons[0].startswith("error is worse by at least ")


def test_a_mismatch_of_the_present_phase() -> None:
    made = traffic(share_ppm=50 * PERCENT)
    made.come(20_000, MINUTE)
    assert found(made).sample_ratio_p > ALPHA
    made.flag = replace(made.flag, split=(SplitShare(V1, 900_000), SplitShare(V2, 100_000)))
    assert found(made).sample_ratio_p < ALPHA
    assert verdict(found(made), made)[0] is Verdict.SAMPLE_RATIO_MISMATCH
    made.split(50 * PERCENT)
    made.come(20_000, MINUTE)
    assert found(made).sample_ratio_p > ALPHA


def test_a_unit_of_a_variant_without_a_share_is_a_mismatch() -> None:
    made = traffic(share_ppm=50 * PERCENT)
    made.come(2_000, MINUTE)
    made.record(made.events(VariantKey("v3"), {"": (hashes(made.rng, 3), np.ones(3))}, NOW))
    assert found(made).evidence.quality.mismatch


def test_lost_events_and_units_that_changed_sides() -> None:
    made = traffic(share_ppm=50 * PERCENT)
    made.come(2_000, MINUTE)
    both = {"": (hashes(made.rng, 200), np.ones(200))}
    made.record(made.events(V1, both, NOW))
    made.record(made.events(V2, both, NOW))
    made.record(
        replace(made.events(V2, {"": both[""]}, NOW), dropped={Arm(KEY, Phase(2), V2): 900})
    )
    judged, reasons = verdict(found(made), made)
    assert judged is Verdict.OUTAGE
    crossed, lost = sorted(reasons, reverse=True)
    assert crossed.endswith("units were seen in both variants")
    assert lost.startswith("outcomes were lost: v1 0.00%, v2 ")


def test_with_everything_on_the_treatment_earlier_phases_are_compared(rollout: Traffic) -> None:
    before = found(rollout)
    made = replace(rollout, arms=dict(rollout.arms), windows=dict(rollout.windows))
    made.split(PPM)
    made.versions = {V1: Version(), V2: Version(errors=0.5)}
    made.come(1_000, 3 * MINUTE)
    after = found(made)
    assert [bounds(after, i) for i in range(3)] == [bounds(before, i) for i in range(3)]
    assert (after.evidence.units, after.sample_ratio_p) == (before.evidence.units, 1.0)
    assert after.stage_units == pytest.approx(1_000, rel=0.05)
    assert after.ceilings[0].value == pytest.approx(0.5, abs=0.05)


def test_ceilings_of_a_window() -> None:
    """The windows that ended last, and the one that is still open: ten seconds more at the most."""
    plan = replace(PLAN, guardrails=(Ceiling(MetricName("error"), 0.05, window=20 * SECOND),))
    made = traffic()
    start = moment(1_790_000_000_000)
    for second, value in ((5, 16.0), (15, 8.0), (25, 4.0), (35, 2.0), (41, 1.0)):
        at = start + second * SECOND
        made.now = at
        made.record(made.events(V2, {"error": (hashes(made.rng, 2), np.full(2, value))}, at))

    def seen(second: float) -> CeilingReading:
        folded = start + second * SECOND
        (found,) = findings(plan, ATTEMPT, made.flag, made.arms, made.windows, folded).ceilings
        return replace(found, slack=0.0)

    assert seen(40) == seen(49.9) == CeilingReading((4 + 2 + 1) / 3, 6)
    assert seen(50) == CeilingReading((2 + 1) / 2, 4)
    assert seen(60) == CeilingReading(1.0, 2)
    assert seen(70) == CeilingReading(NotEstimable(Cause.NO_EVENTS), 0)
    assert seen(35) == CeilingReading((8 + 4 + 2 + 1) / 4, 8), "a worker that lags"


def test_a_long_ceiling_reads_windows_of_a_minute() -> None:
    hours = (Ceiling(MetricName("error"), 0.05, window=2 * HOUR + 10 * SECOND),)
    plan = replace(PLAN, guardrails=(*hours, Ceiling(MetricName("error"), 0.05), *hours))
    made = traffic()
    start = moment(1_790_000_040_000)  # the beginning of a minute
    for minutes, value in ((-1, 8.0), (0, 4.0), (1, 2.0), (121, 1.0)):
        at = made.now = start + minutes * MINUTE
        made.record(made.events(V2, {"error": (hashes(made.rng, 1), np.full(1, value))}, at))
    folded = start + 121 * MINUTE + 30 * SECOND
    long, short, again = findings(
        plan, ATTEMPT, made.flag, made.arms, made.windows, folded
    ).ceilings
    assert long == again
    assert replace(long, slack=0.0) == CeilingReading((4 + 2 + 1) / 3, 3)
    assert short == CeilingReading(1.0, 1)
    assert windows_wanted(plan, folded) == {
        Resolution.MINUTE: 1_790_000_040_000,
        Resolution.TEN_SECONDS: 1_790_000_040_000 + 119 * 60_000 + 30_000,
    }
    assert windows_wanted(replace(plan, guardrails=()), folded) == {}


@pytest.mark.parametrize("statistic", Statistic)
def test_statistics_of_a_ceiling(statistic: Statistic) -> None:
    made = traffic(share_ppm=50 * PERCENT)
    made.come(2_000, 10 * SECOND)
    plan = replace(PLAN, guardrails=(Ceiling(MetricName("latency_ms", statistic), 1.0),))
    report = build_report(made.flag, made.arms, V1, 0, made.now)
    [latency] = [each for each in report.variants[1].outcomes if each.outcome == "latency_ms"]
    reading = found(made, plan).ceilings[0]
    assert reading.events == latency.count
    assert reading.value == pytest.approx(getattr(latency, statistic), rel=0.04)
