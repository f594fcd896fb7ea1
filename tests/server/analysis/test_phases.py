import numpy as np
import pytest

from tests.server.analysis.simulation import Users, monte_carlo_error, outcome, requests, users
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.means import mean_figure
from tidegate_server.analysis.moments import merge_cells
from tidegate_server.analysis.phases import Pair, combine_phases, estimable_pair

Arms = tuple[Users, Users]


def mean_of(hashes: np.ndarray, values: np.ndarray) -> Figure:
    result = mean_figure(outcome(hashes, values).cells)
    assert isinstance(result, Figure)
    return result


def estimate(pair: Pair) -> Estimate:
    result = compare(*pair)
    assert isinstance(result, Estimate)
    return result


def coins(units: int, probability: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([units, round(1_000 * probability)])
    hashes = rng.integers(0, 2**64, units, dtype=np.uint64)
    values = np.zeros(units)
    values[: round(units * probability)] = 1.0
    return hashes, values


def test_one_phase_stays_as_it_is() -> None:
    pair = (mean_of(*coins(500, 0.3)), mean_of(*coins(400, 0.4)))
    assert combine_phases([pair]) == pair


def test_simpsons_paradox() -> None:
    """Pooled, the treatment looks worse; in each phase it is better.

    Errors are frequent in the phase in which the treatment has most of its traffic.
    """
    quiet = coins(19_000, 0.02), coins(1_000, 0.01)
    rough = coins(10_000, 0.20), coins(10_000, 0.17)
    pooled = [
        mean_figure(merge_cells(outcome(*before).cells, outcome(*after).cells))
        for before, after in zip(quiet, rough, strict=True)
    ]
    assert isinstance(pooled[0], Figure)
    assert isinstance(pooled[1], Figure)
    naive = estimate((pooled[0], pooled[1]))
    pairs = [(mean_of(*control), mean_of(*treatment)) for control, treatment in (quiet, rough)]
    combined = estimate(combine_phases(pairs))
    assert naive.interval.lower > 0
    assert combined.interval.upper < 0
    assert -0.03 < combined.difference < -0.01


def test_control_and_treatment_have_the_same_weights() -> None:
    pairs = [
        (mean_of(*coins(2_000, 0.1)), mean_of(*coins(100, 0.1))),
        (mean_of(*coins(1_000, 0.5)), mean_of(*coins(1_000, 0.5))),
    ]
    combined = estimate(combine_phases(pairs))
    assert combined.difference == pytest.approx(0.0, abs=1e-12)
    assert 0.1 < combined.control < 0.5


def test_a_phase_without_an_error_yet_gets_the_weight_of_its_events() -> None:
    """By its own variance, 0, it would get all the weight."""
    pairs = [
        (mean_of(*coins(50, 0.0)), mean_of(*coins(50, 0.0))),
        (mean_of(*coins(950, 0.10)), mean_of(*coins(950, 0.20))),
    ]
    assert estimate(combine_phases(pairs)).difference == pytest.approx(0.095, rel=0.01)


def test_phases_without_any_variation_say_nothing() -> None:
    pair = (mean_of(*coins(50, 0.0)), mean_of(*coins(50, 0.0)))
    assert compare(*combine_phases([pair, pair])) == NotEstimable(Cause.ZERO_VARIANCE)


def test_the_missing_arm_is_named() -> None:
    figure, missing = mean_of(*coins(50, 0.5)), NotEstimable(Cause.NO_EVENTS)
    assert str(estimable_pair(missing, figure)) == "control: no events"
    assert str(estimable_pair(figure, missing)) == "treatment: no events"
    assert estimable_pair(figure, figure) == (figure, figure)


def test_the_same_events_in_two_phases_are_no_more_certain_than_in_one() -> None:
    pair = (mean_of(*coins(500, 0.3)), mean_of(*coins(500, 0.4)))
    twice = estimate(combine_phases([pair, pair]))
    assert twice.p_value == pytest.approx(estimate(pair).p_value, rel=1e-9)


def test_units_that_come_back_do_not_raise_false_alarms() -> None:
    """A ramp 10 % → 50 % of the same users: the phases are not independent of each other."""
    rng = np.random.default_rng(2)
    runs = 500

    def alarm() -> bool:
        who = users(rng, 2_000, icc=0.8)
        phases: list[Arms] = [
            (who.part(200, 2_000), who.part(0, 200)),
            (who.part(1_000, 2_000), who.part(0, 1_000)),
            (who.part(1_000, 2_000), who.part(0, 1_000)),
        ]
        pairs = [
            (
                mean_of(*requests(rng, control, 5, icc=0.8)),
                mean_of(*requests(rng, treatment, 5, icc=0.8)),
            )
            for control, treatment in phases
        ]
        return estimate(combine_phases(pairs)).p_value < 0.05

    alarms = sum(alarm() for _ in range(runs)) / runs
    assert alarms <= 0.05 + 3 * monte_carlo_error(0.05, runs)
