import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.analysis.simulation import requests, users
from tidegate.model import (
    PPM,
    Allocation,
    Direction,
    Flag,
    FlagKey,
    Metric,
    Phase,
    Revision,
    SplitShare,
    Variant,
    VariantKey,
)
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.comparison import Estimate
from tidegate_server.analysis.confidence_sequence import AlwaysValid
from tidegate_server.analysis.effect_size import EffectSize
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.phases import Heterogeneity
from tidegate_server.analysis.windows import Resolution, Windows
from tidegate_server.domain.comparisons import Comparison, deciding
from tidegate_server.domain.events import Arm, Events, Offset, Series, Shard
from tidegate_server.domain.metrics import Better, Statistic
from tidegate_server.errors import InvalidField
from tidegate_server.ports import Fold
from tidegate_server.services.reports import Report, Reports, build_report
from tidegate_server.worker.fold import fold

NOW = datetime(2026, 7, 1, tzinfo=UTC)
KEY = FlagKey("chat")
V1, V2, V3 = VariantKey("v1"), VariantKey("v2"), VariantKey("v3")
FLAG = Flag(
    key=KEY,
    variants=tuple(Variant(key, {}) for key in (V2, V1, V3)),
    default=V1,
    split=(SplitShare(V1, 700_000), SplitShare(V2, 300_000)),
    salt="chat",
    allocation=Allocation((0,), (V1,)),
    phase=Phase(9),
    revision=Revision(12),
    metrics=(Metric("tokens", Direction.LOWER),),
)
Arms = dict[Arm, ArmAggregate]


def events(
    variant: VariantKey,
    outcome: str,
    unit_hash: np.ndarray,
    values: np.ndarray,
    *,
    phase: int = 5,
    seconds: int = 10,
) -> Events:
    """Events spread evenly over `seconds`, both ends included."""
    series = (Series(Arm(KEY, Phase(phase), variant), outcome),)
    times = np.linspace(0, 1_000 * seconds, unit_hash.size).astype(np.int64) + 1_750_000_000_000
    nobody = np.zeros(unit_hash.size, np.int64)
    return Events(series, nobody, unit_hash, times, values.astype(np.float64), {})


def folded(*parts: Events) -> Arms:
    arms: Arms = {}
    for part in parts:
        arms.update(fold(part, arms))
    return arms


def hashes(number: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, number, dtype=np.uint64)


def report(arms: Mapping[Arm, ArmAggregate], control: str = "", phase: int = 0) -> Report:
    return build_report(FLAG, arms, control, phase, NOW)


def comparison(of: Report, outcome: str, statistic: Statistic = Statistic.MEAN) -> Comparison:
    [found] = [c for c in of.comparisons if (c.outcome, c.statistic) == (outcome, statistic)]
    return found


def estimate(of: Comparison) -> Estimate:
    assert isinstance(of.estimate, Estimate)
    return of.estimate


@pytest.fixture(scope="module")
def rollout() -> Arms:
    """v2 is 30 % slower and makes fewer errors; ratings don't differ."""
    rng = np.random.default_rng(1)
    parts = []
    for variant, factor, errors in ((V1, 1.0, 0.10), (V2, 1.3, 0.04)):
        unit_hash, values = requests(rng, users(rng, 2_000), per_user=5)
        parts += [
            events(variant, "", unit_hash[:2_000], np.ones(2_000)),
            events(variant, "latency_ms", unit_hash, 50 * factor * values),
            events(variant, "error", unit_hash, rng.random(values.size) < errors),
            events(variant, "rating", unit_hash, 1 + np.arange(values.size) % 5),
        ]
    return folded(*parts)


def test_head(rollout: Arms) -> None:
    made = report(rollout)
    assert (made.flag_key, made.revision, made.current_phase) == ("chat", 12, 9)
    assert (made.control, made.phases, made.create_time) == ("v1", (5,), NOW)
    assert [each.variant for each in made.variants] == ["v1", "v2"]
    assert [each.share_ppm for each in made.variants] == [700_000, 300_000]


def test_summary_of_an_outcome(rollout: Arms) -> None:
    rng = np.random.default_rng(1)
    _, values = requests(rng, users(rng, 2_000), per_user=5)
    variant = report(rollout).variants[0]
    error, latency, rating = variant.outcomes
    assert [error.outcome, latency.outcome, rating.outcome] == ["error", "latency_ms", "rating"]
    assert variant.exposures == 2_000
    assert isinstance(variant.units, float)
    assert variant.units == pytest.approx(2_000, rel=0.01)
    values = 50 * values
    assert latency.count == values.size
    assert latency.sum == pytest.approx(values.sum(), rel=1e-12)
    assert latency.mean == pytest.approx(values.mean(), rel=1e-12)
    assert latency.standard_deviation == pytest.approx(values.std(ddof=1), rel=1e-9)
    for figure, share in (
        (latency.p50, 0.5),
        (latency.p90, 0.9),
        (latency.p95, 0.95),
        (latency.p99, 0.99),
    ):
        expected = np.quantile(values, share, method="inverted_cdf")
        assert figure == pytest.approx(expected, rel=0.008)
    assert latency.rate_per_second == pytest.approx(values.size / 10)
    assert (latency.direction, rating.direction) == (Direction.LOWER, Direction.HIGHER)
    assert (rating.p50, rating.p95, error.p50, error.p99) == (3.0, 5.0, 0.0, 1.0)


def test_which_side_is_better(rollout: Arms) -> None:
    made = report(rollout)
    latency, error = comparison(made, "latency_ms"), comparison(made, "error")
    assert (latency.better, error.better) == (Better.CONTROL, Better.TREATMENT)
    assert comparison(made, "rating").better is Better.NEITHER
    assert estimate(latency).relative_difference == pytest.approx(0.3, abs=0.1)
    assert isinstance(latency.effect_size, EffectSize)
    assert latency.effect_size.cohens_d > 0.2


def test_what_holds_at_any_look_is_wider(rollout: Arms) -> None:
    latency = comparison(report(rollout), "latency_ms")
    one_look, any_look = estimate(latency), latency.always_valid
    assert isinstance(any_look, AlwaysValid)
    assert any_look.difference.interval.lower < one_look.interval.lower
    assert any_look.difference.interval.upper > one_look.interval.upper
    assert deciding(any_look).p_value > one_look.p_value
    assert latency.better_at_any_look is Better.CONTROL
    assert list(latency.units) == pytest.approx([2_000, 2_000], rel=0.01)
    assert isinstance(latency.detectable, float)
    assert 0 < latency.detectable < 0.3, "the shift that was found"
    assert latency.chance_to_win == pytest.approx(0, abs=1e-6)
    assert comparison(report(rollout), "error").chance_to_win == pytest.approx(1, abs=1e-6)


def test_small_arms_say_nothing_at_any_look() -> None:
    arms = folded(
        events(V1, "tokens", hashes(500, 1), np.arange(500)),
        events(V2, "tokens", hashes(200, 2), np.arange(200)),
    )
    made = comparison(report(arms), "tokens")
    assert made.always_valid == NotEstimable(Cause.BURN_IN, "treatment")
    assert made.better_at_any_look is Better.UNKNOWN
    assert isinstance(made.estimate, Estimate)


def quality(control_units: int, treatment_units: int, *, both: int = 0, dropped: int = 0) -> Any:
    """The checks of an even split of phase 9, `both` units being in both arms."""
    units = hashes(control_units + treatment_units, 5)
    arms = folded(
        events(V1, "", units[:control_units], np.ones(control_units), phase=9),
        events(
            V2,
            "",
            units[control_units - both : control_units - both + treatment_units],
            np.ones(treatment_units),
            phase=9,
        ),
    )
    treated = Arm(KEY, Phase(9), V2)
    arms[treated] = dataclasses.replace(arms[treated], dropped=dropped)
    even = (SplitShare(V1, 500_000), SplitShare(V2, 500_000))
    flag = dataclasses.replace(FLAG, split=even)
    return build_report(flag, arms, "", 0, NOW).quality


def test_good_data_are_not_doubted() -> None:
    found = quality(10_000, 10_100)
    assert found.faults == found.crossovers == ()
    assert found.sample_ratio.p_value > 0.1


def test_a_split_that_was_not_kept_is_a_fault() -> None:
    (fault,) = quality(10_000, 9_000).faults
    assert fault.startswith("units are not split as promised")


def test_units_in_both_arms_are_a_fault() -> None:
    found = quality(10_000, 10_000, both=500)
    (fault,) = found.faults
    assert "seen in both variants" in fault
    (crossed,) = found.crossovers
    assert (crossed.phase, crossed.control, crossed.treatment) == (9, V1, V2)
    assert crossed.crossover.units == pytest.approx(500, rel=0.1)


def test_lost_events_are_a_fault() -> None:
    assert quality(10_000, 10_000, dropped=20).faults == ()
    (fault,) = quality(10_000, 10_000, dropped=500).faults
    assert fault.startswith("outcomes were lost: v1 0.00%, v2 4.76%")


def test_the_split_of_a_past_phase_is_not_known(rollout: Arms) -> None:
    assert report(rollout).quality.sample_ratio == NotEstimable(Cause.NO_UNITS)


def test_swapping_control_and_treatment_swaps_the_signs(rollout: Arms) -> None:
    one, other = report(rollout), report(rollout, control="v2")
    assert [each.variant for each in other.variants] == ["v2", "v1"]
    for outcome in ("latency_ms", "error"):
        left, right = (estimate(comparison(each, outcome)) for each in (one, other))
        assert left.difference == pytest.approx(-right.difference)
        assert left.p_value == pytest.approx(right.p_value)
    assert comparison(other, "latency_ms").better is Better.TREATMENT


def test_quantiles_are_compared_where_there_are_more_than_two_values(rollout: Arms) -> None:
    made = report(rollout)
    statistics = {
        outcome: [c.statistic for c in made.comparisons if c.outcome == outcome]
        for outcome in ("error", "latency_ms", "rating")
    }
    assert statistics["error"] == [Statistic.MEAN]
    assert statistics["latency_ms"] == statistics["rating"] == list(Statistic)
    p95 = comparison(made, "latency_ms", Statistic.P95)
    assert p95.better is Better.CONTROL
    assert p95.effect_size == NotEstimable(Cause.NOT_ON_UNITS)
    latency = made.variants[0].outcomes[1]
    assert estimate(p95).control == pytest.approx(latency.p95, rel=0.01)
    p90 = comparison(made, "latency_ms", Statistic.P90)
    assert estimate(p90).control == pytest.approx(latency.p90, rel=0.01)
    tied = comparison(made, "rating", Statistic.P50)
    assert tied.estimate == NotEstimable(Cause.ZERO_VARIANCE)
    assert tied.better is Better.UNKNOWN


def test_an_outcome_that_one_side_lacks() -> None:
    arms = folded(
        events(V1, "tokens", hashes(50, 1), np.arange(50)),
        events(V2, "cost_usd", hashes(50, 2), np.arange(50)),
    )
    made = report(arms)
    assert comparison(made, "tokens").estimate == NotEstimable(Cause.NO_EVENTS, "treatment")
    assert comparison(made, "cost_usd").estimate == NotEstimable(Cause.NO_EVENTS, "control")
    assert comparison(made, "tokens").direction is Direction.LOWER


def test_a_single_unit_says_nothing() -> None:
    arms = folded(
        events(V1, "tokens", hashes(50, 1), np.arange(50)),
        events(V2, "tokens", np.repeat(hashes(1, 2), 9), np.arange(9)),
    )
    made = comparison(report(arms), "tokens")
    assert made.estimate == NotEstimable(Cause.TOO_FEW_CELLS, "treatment")
    assert made.effect_size == made.estimate


def test_arms_that_never_met() -> None:
    arms = folded(
        events(V1, "tokens", hashes(50, 1), np.arange(50), phase=5),
        events(V2, "tokens", hashes(50, 2), np.arange(50), phase=6),
    )
    assert comparison(report(arms), "tokens").estimate == NotEstimable(Cause.NO_COMMON_PHASE)


def test_one_event_has_neither_deviation_nor_rate() -> None:
    made = report(folded(events(V1, "tokens", hashes(1, 1), np.array([3.0]))))
    [outcome] = made.variants[0].outcomes
    assert outcome.standard_deviation == NotEstimable(Cause.TOO_FEW_EVENTS)
    assert outcome.rate_per_second == NotEstimable(Cause.NO_DURATION)
    assert (outcome.mean, outcome.p50) == (3.0, 3.0)


def test_no_data_at_all() -> None:
    made = report({})
    assert [each.variant for each in made.variants] == ["v1", "v2"]
    assert [each.units for each in made.variants] == [0.0, 0.0]
    assert made.comparisons == ()
    assert made.phases == ()


def test_a_variant_with_data_but_no_share_is_shown() -> None:
    gone = VariantKey("gone")
    made = report(folded(events(gone, "tokens", hashes(5, 1), np.ones(5))))
    assert [(each.variant, each.share_ppm) for each in made.variants] == [
        ("v1", 700_000),
        ("v2", 300_000),
        ("gone", 0),
    ]


def ramp() -> Arms:
    """Errors are frequent in the phase in which v2 has half of the traffic; v2 has fewer."""
    parts = []
    for phase, variant, number, errors in (
        (5, V1, 19_000, 380),
        (5, V2, 1_000, 10),
        (7, V1, 10_000, 2_000),
        (7, V2, 10_000, 1_700),
    ):
        values = np.arange(number) < errors
        unit_hash = hashes(number, phase * number + errors)
        parts.append(events(variant, "error", unit_hash, values, phase=phase))
    return folded(*parts)


def test_phases_are_described_together_and_compared_apart() -> None:
    """Pooled, the treatment looks worse: Simpson's paradox."""
    made = report(ramp())
    described = [each.outcomes[0].mean for each in made.variants]
    assert made.phases == (5, 7)
    assert described[1] > described[0]
    compared = comparison(made, "error")
    assert estimate(compared).difference < 0
    assert compared.better is Better.TREATMENT
    assert isinstance(compared.effect_size, EffectSize)
    assert -0.2 < compared.effect_size.cohens_d < 0
    assert isinstance(compared.heterogeneity, Heterogeneity)
    assert compared.heterogeneity.p_value < 0.01, "1 % less in one phase and 3 % in the other"
    assert made.variants[0].outcomes[0].rate_per_second == pytest.approx(29_000 / 20)


def test_one_phase_alone() -> None:
    made = report(ramp(), phase=5)
    assert made.variants[0].outcomes[0].count == 19_000
    assert estimate(comparison(made, "error")).difference == pytest.approx(-0.01)
    assert comparison(made, "error").heterogeneity == NotEstimable(Cause.ONE_PHASE)
    assert made.phases == (5, 7)


def test_losses_are_reported() -> None:
    lost = dataclasses.replace(ArmAggregate.empty(), dropped=4)
    made = report({Arm(KEY, Phase(5), V2): lost})
    assert made.variants[1].dropped_events == 4
    assert made.phases == ()


def test_unknown_control_names_the_known_ones(rollout: Arms) -> None:
    with pytest.raises(InvalidField, match=r"^control: .*'v9'.*one of v2, v1, v3$") as caught:
        report(rollout, control="v9")
    assert caught.value.field == "control"


@pytest.mark.parametrize(("phase", "choices"), [(6, "one of 5, 7, 0"), (-1, "one of 5, 7, 0")])
def test_a_phase_without_data_names_those_with_data(phase: int, choices: str) -> None:
    with pytest.raises(InvalidField, match=rf"^phase: .*{choices}.*") as caught:
        report(ramp(), phase=phase)
    assert caught.value.field == "phase"


def floats(value: object) -> list[float]:
    """Return all floats within a value."""
    if isinstance(value, float):
        return [value]
    if dataclasses.is_dataclass(value):
        return floats([getattr(value, each.name) for each in dataclasses.fields(value)])
    return (
        [each for part in value for each in floats(part)] if isinstance(value, list | tuple) else []
    )


outcomes_strategy = st.lists(
    st.tuples(
        st.sampled_from([V1, V2]),
        st.integers(0, 2**64 - 1),
        st.sampled_from([5, 7]),
        st.sampled_from([0.0, 1.0, 0.1]) | st.floats(-1e100, 1e100) | st.floats(-1e-100, 1e-100),
    ),
    max_size=30,
)


@given(outcomes_strategy)
def test_a_report_has_only_finite_figures(
    rows: Sequence[tuple[VariantKey, int, int, float]],
) -> None:
    parts = [
        events(variant, "tokens", np.array([unit], np.uint64), np.array([value]), phase=phase)
        for variant, unit, phase, value in rows
    ]
    made = report(folded(*parts))
    assert all(math.isfinite(each) for each in floats(made))
    p_values = [c.estimate.p_value for c in made.comparisons if isinstance(c.estimate, Estimate)]
    assert all(0 < each <= 1 for each in p_values)


class StoredAggregates:
    """An AggregateStore that holds what it was given; only reading is needed."""

    def __init__(self, arms: Arms) -> None:
        self._arms = arms

    async def read(self, flag: FlagKey, *, first_phase: int = 0) -> Mapping[Arm, ArmAggregate]:
        return {arm: data for arm, data in self._arms.items() if arm.flag == flag}

    async def offset(self, shard: Shard) -> Offset:
        raise NotImplementedError

    async def load(self, shard: Shard, arm: Arm) -> ArmAggregate:
        raise NotImplementedError

    async def load_windows(
        self, shard: Shard, wanted: Mapping[tuple[Arm, Resolution], Windows]
    ) -> Mapping[tuple[Arm, Resolution], Windows]:
        raise NotImplementedError

    async def commit(self, shard: Shard, fold: Fold) -> bool:
        raise NotImplementedError

    async def read_windows(
        self,
        flag: FlagKey,
        resolution: Resolution,
        start_ms: int,
        end_ms: int,
        *,
        first_phase: int = 0,
    ) -> Mapping[Arm, Windows]:
        raise NotImplementedError


async def test_the_service_reads_the_flags_aggregates(rollout: Arms) -> None:
    service = Reports(StoredAggregates(rollout))
    assert await service.report(FLAG, now=NOW) == report(rollout)
    made = await service.report(FLAG, control="v2", phase=5, now=NOW)
    assert made.control == "v2"


def test_shares_are_parts_per_million() -> None:
    assert sum(each.share_ppm for each in report({}).variants) == PPM


def test_units_outside_the_split_are_counted_apart(rollout: Arms) -> None:
    staff = Series(Arm(KEY, Phase(5), V2, outside_split=True), "latency_ms")
    inside = events(V2, "latency_ms", hashes(100, 3), np.full(100, 9_999.0))
    outside = dataclasses.replace(inside, series=(staff,))
    with_staff = report(folded_on(rollout, outside))
    without = report(rollout)
    v2 = with_staff.variants[1]
    assert (v2.variant, v2.outside_split_events) == (V2, 100)
    assert dataclasses.replace(v2, outside_split_events=0) == without.variants[1]
    assert with_staff.comparisons == without.comparisons
    assert with_staff.phases == without.phases
    changed = report(folded_on(rollout, inside))
    assert changed.comparisons != without.comparisons


def folded_on(arms: Arms, part: Events) -> Arms:
    return {**arms, **fold(part, arms)}
