"""Section `analysis-peers`: comparisons as others make them, from moments and from raw rows."""

import importlib
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
from scipy import stats

from benchmarks.analysing import by_bincount
from benchmarks.analysis_peers.data import CONTROL, METRICS, TREATMENT, UNITS, events
from benchmarks.analysis_peers.environment import Peer, PeerMissingError, peer
from benchmarks.analysis_peers.stopwatch import Answer, Work, time_round
from benchmarks.measure import print_table
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.confidence_sequence import Tuning, always_valid
from tidegate_server.analysis.effect_size import effect_size
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.means import mean_of_moments, mean_per_unit_figure
from tidegate_server.analysis.samples import UnitTotals, fold_units
from tidegate_server.analysis.spread import PhaseFigures

OURS = "tidegate"
FROM_MOMENTS = ("gbstats", "gbstats_everything", "tea_tasting", "spotify_confidence")
FROM_ROWS = ("tea_tasting_polars", "tea_tasting_duckdb")
SEQUENCE = Tuning(planned=100_000)

Round = Callable[[int], tuple[float, Sequence[Answer]]]
"""Makes so many calls; returns nanoseconds a call, and what they found."""


def run(*, long: bool) -> None:
    """Measure and print; a peer that can't be installed is shown with the reason."""
    ours: dict[str, Work] = {
        OURS: from_moments,
        "scipy.stats.ttest_ind_from_stats: statistics and p-values alone": by_scipy,
    }
    measure("four metrics from moments", FROM_MOMENTS, ours, 15, 20)
    unit, treated, columns = events()
    ours = {
        OURS: lambda: from_rows(unit, treated, columns),
        "numpy.bincount: the sums by unit alone": lambda: by_bincount(unit, columns) and [],
    }
    measure("four metrics from 10 million rows of 500,000 units", FROM_ROWS, ours, 7, 1)


def measure(
    title: str, peers: Sequence[str], ours: Mapping[str, Work], rounds: int, calls: int
) -> None:
    """Time ours and the peers in turn, a first round not counted; print times and ratios."""
    with ExitStack() as stack:
        ways: dict[str, Round] = {
            name: lambda calls, work=work: time_round(work, calls) for name, work in ours.items()
        }
        missing: dict[str, str] = {}
        for name in peers:
            adapter = importlib.import_module(f"benchmarks.analysis_peers.{name}")
            label = f"{name}: {adapter.REQUIREMENTS[0]}"
            try:
                process: Peer = stack.enter_context(peer(name, adapter.REQUIREMENTS))
                check(process.round(1)[1], ours[OURS]())
                ways[label] = process.round
            except PeerMissingError as error:
                missing[label] = str(error)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, way in ways.items():
                spent, _ = way(calls)
                if number:
                    times[name].append(spent)
    rows = [
        (name, f"{statistics.median(t) / 1e3:,.0f}", ratio(t, times)) for name, t in times.items()
    ]
    rows += [(name, "-", reason) for name, reason in missing.items()]
    print_table(title, ("", "µs", "× ours"), rows)


def ratio(spent: Sequence[float], times: Mapping[str, Sequence[float]]) -> str:
    """Return the median of the rounds' ratios to ours."""
    return f"{statistics.median(a / b for a, b in zip(spent, times[OURS], strict=True)):.2f}"


def check(theirs: Sequence[Answer], ours: Sequence[Answer]) -> None:
    """See that both found the same differences and intervals.

    Raises:
        RuntimeError: they did not.
    """
    for pair in zip(theirs, ours, strict=True):
        if not all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(*pair, strict=True)):
            raise RuntimeError(f"found {pair[0]} where we find {pair[1]}")


def from_moments() -> list[Answer]:
    """Compare every metric, given its moments."""
    return [
        comparison(*((mean_of_moments(*each), each[0]) for each in (CONTROL, TREATMENT)))
        for _ in METRICS
    ]


def by_scipy() -> list[Answer]:
    """Compare every metric, as scipy does."""
    (n, mean, variance), (m, other, spread) = CONTROL, TREATMENT
    for _ in METRICS:
        stats.ttest_ind_from_stats(other, spread**0.5, m, mean, variance**0.5, n, equal_var=False)
    return []


def from_rows(
    unit: np.ndarray, treated: np.ndarray, columns: Mapping[str, np.ndarray]
) -> list[Answer]:
    """Sum the rows by unit, and compare every metric's mean per unit."""
    totals = fold_units(unit, columns, UNITS)
    figures = []
    for arm in (np.flatnonzero(~treated), np.flatnonzero(treated)):
        count = totals[METRICS[0]].count[arm]
        sums = (UnitTotals(count, each.total[arm]) for each in totals.values())
        figures.append([(mean_per_unit_figure(each), arm.size) for each in sums])
    return [comparison(*pair) for pair in zip(*figures, strict=True)]


def comparison(
    control: tuple[Figure | NotEstimable, int], treatment: tuple[Figure | NotEstimable, int]
) -> Answer:
    """Compare two figures, given with their units, and fill in all fields of a comparison."""
    arms = [(figure, units) for figure, units in (control, treatment) if isinstance(figure, Figure)]
    (left, left_units), (right, right_units) = arms
    estimate = compare(left, right)
    assert isinstance(estimate, Estimate)
    assert not isinstance(estimate.log_ratio, NotEstimable)
    found = (
        effect_size(estimate.difference, arms),
        math.expm1(estimate.log_ratio.detectable()),
        always_valid([PhaseFigures(left, right, left_units, right_units)], SEQUENCE),
    )
    assert not any(isinstance(each, NotEstimable) for each in found)
    return estimate.difference, estimate.interval.lower, estimate.interval.upper
