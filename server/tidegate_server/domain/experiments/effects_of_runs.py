"""Effects of many simulated runs at once, by the formulas that `analysis` has for one.

Errors are known here, where `analysis` estimates them; else this is `spread.steadied`,
`phases.combine_phases` and `effects.log_ratio`, and bounds as of `confidence_sequence.read`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidegate_server.domain.experiments.synthetic import CONTROL, TREATMENT, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """A metric's relative effect in each run; NaN where it is not estimable.

    bounds: the lower and the upper one, for each reach that was asked for.
    """

    value: Floats
    bounds: Sequence[tuple[Floats, Floats]]


@np.errstate(divide="ignore", invalid="ignore")
def effects(
    units: Floats,
    sums: Floats,
    spreads: tuple[float, float],
    reaches: Sequence[Floats],
) -> Effects:
    """Compare the arms of all runs.

    units, sums: shape (phases, 2, runs); phases in which an arm has no units don't count. spreads:
    deviation of control and treatment that a unit stands for. reaches: how many standard errors
    away bounds lie, each of shape (runs,).
    """
    counts = np.all(units > 0, axis=1, keepdims=True)
    means = np.where(counts, sums / units, 0.0)
    variances = _steadied(means, spreads)
    pooled = np.where(counts, variances, 0.0).sum(axis=0) / counts.sum(axis=0)
    weights = np.where(counts[:, 0], 1 / (pooled / units).sum(axis=1), 0.0)
    weights = (weights / weights.sum(axis=0))[:, None]
    mean = (weights * means).sum(axis=0)
    squares = np.where(counts, weights**2 * variances / units, 0.0).sum(axis=0)
    log_ratio = np.where((mean > 0).all(axis=0), np.log(mean[TREATMENT] / mean[CONTROL]), np.nan)
    error = np.sqrt((squares / mean**2).sum(axis=0))
    return Effects(
        np.expm1(log_ratio),
        [
            (np.expm1(log_ratio - reach * error), np.expm1(log_ratio + reach * error))
            for reach in reaches
        ],
    )


def _steadied(means: Floats, spreads: tuple[float, float]) -> Floats:
    """Return the variance that a unit stands for, neither arm's less than the other's."""
    level = means[:, TREATMENT] / means[:, CONTROL]
    root = np.where(level > 0, np.sqrt(level), 1.0)
    control, treatment = spreads
    widened = [np.maximum(control, treatment / root), np.maximum(treatment, control * root)]
    return np.stack(widened, axis=1) ** 2
