"""What is compared: the same numbers in every process. numpy is imported where it is needed."""

from typing import Any

METRICS = ("a", "b", "c", "d")
CONTROL, TREATMENT = (50_000, 101.5, 900.0), (49_000, 102.0, 950.0)
"""Units, mean and variance (divisor n - 1) of each of the metrics."""

ROWS, UNITS = 10_000_000, 500_000


def sums(moments: tuple[int, float, float]) -> tuple[int, float, float]:
    """Return units, sum and sum of squares."""
    number, mean, variance = moments
    return number, number * mean, variance * (number - 1) + number * mean * mean


def events() -> tuple[Any, Any, dict[str, Any]]:
    """Return the unit of each row, whether each unit is treated, and a column for each metric."""
    import numpy as np

    rng = np.random.default_rng(3)
    unit = rng.integers(0, UNITS, ROWS)
    return unit, rng.random(UNITS) < 0.5, {name: rng.lognormal(size=ROWS) for name in METRICS}
