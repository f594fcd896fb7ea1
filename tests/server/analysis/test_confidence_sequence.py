import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.server.analysis.simulation import (
    Floats,
    monte_carlo_error,
    outcome,
    requests,
    users,
)
from tidegate_server.analysis.aggregates import OutcomeAggregate
from tidegate_server.analysis.confidence_sequence import (
    AlwaysValid,
    Reading,
    Tuning,
    always_valid,
    effective_size,
    for_harm,
    intersect,
    read,
)
from tidegate_server.analysis.effects import Effect, Interval, difference
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import NORMAL, Figure, bare_figure
from tidegate_server.analysis.looks import BURN_IN
from tidegate_server.analysis.means import mean_figure
from tidegate_server.analysis.merge import merge_outcomes
from tidegate_server.analysis.moments import cells_of
from tidegate_server.analysis.sequence_margins import (
    Horizon,
    margin,
    one_sided_margin,
    sequence_p_value,
)
from tidegate_server.analysis.spread import PhaseFigures

TUNING = Tuning(10_000)
PLANNED = Horizon.PLANNED

SLOW = [pytest.mark.slow, pytest.mark.timeout(600)]


def figure(value: float, error: float, above: float | None = None) -> Figure:
    return bare_figure(value, error, error if above is None else above, 10_000)


def look(
    control: Figure, treatment: Figure, control_units: float = 5_000, treatment_units: float = 5_000
) -> AlwaysValid:
    result = always_valid(
        [PhaseFigures(control, treatment, control_units, treatment_units)], TUNING
    )
    assert isinstance(result, AlwaysValid)
    return result


def test_effective_sizes() -> None:
    assert effective_size(500, 500) == 1_000
    assert effective_size(950, 50) == pytest.approx(190)
    assert effective_size(0, 0) == effective_size(10, 0) == 0
    assert effective_size(1e12, 1e12) == 2e12


def test_difference_and_ratio() -> None:
    result = look(figure(10.0, 0.3), figure(12.0, 0.4))
    error = math.hypot(0.4, 0.4)
    reach, bound = margin(1.0, 0.05, PLANNED), one_sided_margin(1.0, 0.05, PLANNED)
    difference = result.difference
    assert result.information == 1.0
    assert difference.interval.lower == pytest.approx(2 - reach * error)
    assert difference.interval.upper == pytest.approx(2 + reach * error)
    assert difference.lower == pytest.approx(2 - bound * error)
    assert difference.upper == pytest.approx(2 + bound * error)
    assert difference.p_value == pytest.approx(sequence_p_value(2 / error, 1.0, 0.05, PLANNED))
    assert isinstance(result.relative, Reading)
    error = math.hypot(max(0.3, 0.4 / math.sqrt(1.2)) / 10, 0.4 / 12)
    assert result.relative.interval.lower == pytest.approx(1.2 * math.exp(-reach * error) - 1)
    assert result.relative.upper == pytest.approx(1.2 * math.exp(bound * error) - 1)
    assert result.relative.p_value == pytest.approx(
        sequence_p_value(math.log(1.2) / error, 1.0, 0.05, PLANNED)
    )


def test_negative_figures_mirror_positive_ones() -> None:
    positive = look(figure(10.0, 0.3, 0.5), figure(12.0, 0.4, 0.6)).relative
    negative = look(figure(-10.0, 0.5, 0.3), figure(-12.0, 0.6, 0.4)).relative
    assert isinstance(positive, Reading)
    assert isinstance(negative, Reading)
    assert negative.interval.lower == pytest.approx(-positive.interval.upper)
    assert (negative.lower, negative.upper) == pytest.approx((-positive.upper, -positive.lower))
    assert negative.p_value == pytest.approx(positive.p_value)


@pytest.mark.parametrize(("control", "treatment"), [(10.0, 10.7), (10.7, 10.0)])
@pytest.mark.parametrize("share", [0.97, 1.03])
def test_the_p_value_says_what_the_interval_says(
    control: float, treatment: float, share: float
) -> None:
    error = share * 0.7 / margin(1.0, 0.05, PLANNED) / math.sqrt(2)
    difference = look(figure(control, error), figure(treatment, error)).difference
    excludes = not difference.interval.lower <= 0 <= difference.interval.upper
    assert excludes is (difference.p_value < 0.05)
    assert excludes is (share < 1)


def test_few_degrees_of_freedom_widen_the_interval() -> None:
    few = read(Effect(1.0, 0.1, 0.1, 30), 1.0, 0.05)
    many = read(Effect(1.0, 0.1, 0.1, NORMAL), 1.0, 0.05)
    assert isinstance(few, Reading)
    assert isinstance(many, Reading)
    tail = stats.norm.sf(margin(1.0, 0.05, Horizon.OPEN))
    factor = stats.t.isf(tail, 30) / stats.norm.isf(tail)
    assert 1 - few.interval.lower == pytest.approx(factor * (1 - many.interval.lower), rel=1e-9)
    assert few.p_value > many.p_value


@pytest.mark.parametrize(
    ("control", "treatment", "control_units", "treatment_units", "expected"),
    [
        (figure(1, 1), figure(1, 1), 299, 5_000, NotEstimable(Cause.BURN_IN, "control")),
        (figure(1, 1), figure(1, 1), 5_000, 0, NotEstimable(Cause.BURN_IN, "treatment")),
        (figure(1, 0), figure(1, 0), 500, 500, NotEstimable(Cause.ZERO_VARIANCE)),
        (figure(1, 0), figure(2, 0), 500, 500, NotEstimable(Cause.ZERO_VARIANCE)),
        (figure(1, 1e308), figure(2, 1e308), 500, 500, NotEstimable(Cause.OVERFLOW)),
    ],
)
def test_what_cannot_be_said(
    control: Figure,
    treatment: Figure,
    control_units: float,
    treatment_units: float,
    expected: NotEstimable,
) -> None:
    phase = PhaseFigures(control, treatment, control_units, treatment_units)
    assert always_valid([phase], TUNING) == expected


def test_errors_that_a_margin_takes_beyond_floating_point() -> None:
    wide = Effect(1.0, 1e308, 1e308, NORMAL)
    assert read(wide, 1.0, 0.05) == NotEstimable(Cause.OVERFLOW)


def test_without_a_burn_in_an_empty_arm_still_says_nothing() -> None:
    phase = PhaseFigures(figure(1, 1), figure(1, 1), 500, 0)
    expected = NotEstimable(Cause.BURN_IN, "treatment")
    assert always_valid([phase], Tuning(1_000, burn_in=0)) == expected


def test_ratios_that_cannot_be_said() -> None:
    assert look(figure(0, 0.1), figure(1, 0.1)).relative == NotEstimable(Cause.NOT_POSITIVE)
    assert look(figure(-1, 0.1), figure(1, 0.1)).relative == NotEstimable(Cause.NOT_POSITIVE)
    assert look(figure(1e-5, 1.0), figure(1.0, 1.0)).relative == NotEstimable(Cause.OVERFLOW)


def test_a_mean_of_a_billion_with_deviation_one() -> None:
    rng = np.random.default_rng(1)
    cell = np.arange(20_000) % 256
    control = mean_figure(cells_of(cell, rng.normal(1e9, 1, cell.size)))
    treatment = mean_figure(cells_of(cell, rng.normal(1e9 + 0.1, 1, cell.size)))
    assert isinstance(control, Figure)
    assert isinstance(treatment, Figure)
    result = look(control, treatment)
    assert result.difference.lower > 0
    assert result.difference.interval.upper < 0.2
    assert isinstance(result.relative, Reading)
    assert result.relative.lower > 0


def test_phases_are_compared_apart() -> None:
    """Twice the same phase, of independent units, is as good as one of twice the size."""
    once = PhaseFigures(figure(10, 0.3), figure(11, 0.3), 2_000, 2_000)
    both = always_valid([once, once], Tuning(8_000))
    error = 0.3 / math.sqrt(2)
    whole = PhaseFigures(figure(10, error), figure(11, error), 4_000, 4_000)
    single = always_valid([whole], Tuning(8_000))
    assert isinstance(both, AlwaysValid)
    assert isinstance(single, AlwaysValid)
    assert both.information == single.information == 1.0
    assert both.difference.lower == pytest.approx(single.difference.lower)


def test_intersections() -> None:
    assert intersect(Interval(0, 2), Interval(1, 3)) == Interval(1, 2)
    assert intersect(Interval(0, 1), Interval(2, 3)) == NotEstimable(Cause.DISJOINT)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("planned", lambda: Tuning(0.0)),
        ("alpha", lambda: Tuning(1.0, alpha=0.5)),
        ("burn_in", lambda: Tuning(1.0, burn_in=-1.0)),
    ],
)
def test_tunings_are_checked(name: str, make: Callable[[], Tuning]) -> None:
    with pytest.raises(ValueError, match=name):
        make()


def test_harm_is_looked_for_early() -> None:
    tuning = for_harm(Tuning(1_000, alpha=0.01, burn_in=50))
    assert tuning == Tuning(200, alpha=0.01, burn_in=50, horizon=Horizon.OPEN)


numbers = st.floats(-1e12, 1e12)
errors = st.floats(0, 1e12)
counts = st.floats(0, 1e12)


@given(numbers, errors, numbers, errors, errors, counts, counts, st.floats(1e-3, 1e12))
def test_every_figure_is_finite(
    control: float, c_error: float, treatment: float, below: float, above: float,
    control_units: float, treatment_units: float, planned: float,
) -> None:  # fmt: skip
    phase = PhaseFigures(
        figure(control, c_error), figure(treatment, below, above), control_units, treatment_units
    )
    result = always_valid([phase], Tuning(planned))
    if isinstance(result, NotEstimable):
        return
    for reading in (result.difference, result.relative):
        if isinstance(reading, Reading):
            ends = reading.interval.lower, reading.interval.upper, reading.lower, reading.upper
            assert all(map(math.isfinite, ends))
            assert ends[0] <= ends[1]
            assert ends[2] <= ends[3]
            assert 0 < reading.p_value <= 1


@dataclass(slots=True)
class Alarms:
    """In how many runs any look said that there is a difference, by the reading that said it."""

    seen: set[str] = field(default_factory=set)

    def add(self, scale: str, reading: Reading | NotEstimable) -> None:
        if isinstance(reading, NotEstimable):
            return
        if reading.p_value <= TUNING.alpha:
            self.seen.add(scale)
        if reading.lower > 0:
            self.seen.add(f"{scale} up")
        if reading.upper < 0:
            self.seen.add(f"{scale} down")


def latencies(rng: np.random.Generator, number: int) -> tuple[np.ndarray, Floats]:
    return requests(rng, users(rng, number))


def rare_errors(rng: np.random.Generator, number: int) -> tuple[np.ndarray, Floats]:
    """0.5 % of requests, nearly all of them of one user in a hundred."""
    per_user = rng.geometric(1 / 20, number)
    chance = np.repeat(rng.beta(0.01, 1.99, number), per_user)
    hashes = np.repeat(rng.integers(0, 2**64, number, dtype=np.uint64), per_user)
    return hashes, (rng.random(chance.size) < chance).astype(np.float64)


ALONE = "each arm with its own spread"
OUTCOMES = {"latencies": latencies, "rare errors": rare_errors}


def growing(
    rng: np.random.Generator, kind: str, number: int, looks: int
) -> Iterator[tuple[float, OutcomeAggregate]]:
    """Yield units and aggregates as users come, merged as the worker merges them."""
    hashes, values = OUTCOMES[kind](rng, number)
    _, first = np.unique(hashes, return_index=True)
    starts = np.append(np.sort(first), hashes.size)
    total: OutcomeAggregate | None = None
    ends = np.arange(looks + 1) * number // looks
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        part = slice(starts[start], starts[end])
        added = outcome(hashes[part], values[part])
        total = added if total is None else merge_outcomes(total, added)
        yield float(end), total


def false_alarms(
    kind: str, control: int, treatment: int, looks: int, runs: int
) -> dict[str, float]:
    rng = np.random.default_rng([control, treatment, len(kind)])
    tunings = [Tuning(effective_size(control, treatment), horizon=each) for each in Horizon]
    total: dict[str, float] = {}
    for _ in range(runs):
        alarms = Alarms()
        arms = zip(
            growing(rng, kind, control, looks), growing(rng, kind, treatment, looks), strict=True
        )
        for (control_units, left), (treatment_units, right) in arms:
            figures = mean_figure(left.cells), mean_figure(right.cells)
            assert isinstance(figures[0], Figure)
            assert isinstance(figures[1], Figure)
            phase = PhaseFigures(figures[0], figures[1], control_units, treatment_units)
            for tuning in tunings:
                result = always_valid([phase], tuning)
                if isinstance(result, AlwaysValid):
                    alarms.add(f"{tuning.horizon} difference", result.difference)
                    alarms.add(f"{tuning.horizon} relative", result.relative)
            effect = difference(phase.control, phase.treatment)
            information = effective_size(control_units, treatment_units) / tunings[0].planned
            if min(control_units, treatment_units) >= BURN_IN and isinstance(effect, Effect):
                alarms.add(ALONE, read(effect, information, TUNING.alpha, Horizon.OPEN))
        for each in alarms.seen:
            total[each] = total.get(each, 0.0) + 1 / runs
    return total


@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize(
    ("control", "treatment", "looks", "runs"),
    [
        (1_500, 1_500, 50, 40),
        (9_500, 500, 50, 30),
        pytest.param(3_000, 3_000, 100, 400, marks=SLOW),
        pytest.param(19_000, 1_000, 100, 400, marks=SLOW),
    ],
)
def test_false_alarms_under_continuous_looking_stay_below_alpha(
    kind: str, control: int, treatment: int, looks: int, runs: int
) -> None:
    """Skewed requests, correlated within users, at 50/50 and 5/95: intervals and each bound."""
    for name, share in false_alarms(kind, control, treatment, looks, runs).items():
        if not name.startswith(ALONE):
            assert share <= TUNING.alpha + (0 if runs >= 400 else 2 * monte_carlo_error(0.05, runs))


def test_without_borrowed_spread_a_canary_has_fewer_errors_by_mistake() -> None:
    """Of rare errors at 5/95: ADR 11."""
    shares = false_alarms("rare errors", 9_500, 500, 20, 100)
    assert shares[f"{ALONE} down"] >= 0.1
    assert shares.get("open difference down", 0.0) <= 0.02
