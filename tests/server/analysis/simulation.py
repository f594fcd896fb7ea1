"""Requests of users: correlated within a user, skewed, and in very different numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.aggregates import CELLS_PER_GROUP, OutcomeAggregate
from tidegate_server.analysis.histogram import histogram_of
from tidegate_server.analysis.moments import cells_of
from tidegate_server.analysis.units import cell_index

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Users:
    """Users who exist before they are given a variant: arrays of one entry a user."""

    unit_hash: NDArray[np.uint64]
    level: Floats

    def part(self, start: int, stop: int) -> "Users":
        return Users(self.unit_hash[start:stop], self.level[start:stop])


def users(rng: np.random.Generator, number: int, icc: float = 0.3) -> Users:
    hashes = rng.integers(0, 2**64, number, dtype=np.uint64)
    return Users(hashes, rng.normal(0.0, np.sqrt(icc), number))


def requests(
    rng: np.random.Generator, who: Users, per_user: float = 20, icc: float = 0.3
) -> tuple[NDArray[np.uint64], Floats]:
    """Return (hash, value) of a geometric number of requests of each user.

    The logarithm of a value is standard normal, with correlation `icc` within a user.
    """
    number = rng.geometric(1 / per_user, who.level.size)
    own = rng.normal(0.0, np.sqrt(1 - icc), int(number.sum()))
    return np.repeat(who.unit_hash, number), np.exp(np.repeat(who.level, number) + own)


def outcome(unit_hash: NDArray[np.uint64], values: Floats) -> OutcomeAggregate:
    cell = cell_index(unit_hash)
    return OutcomeAggregate(cells_of(cell, values), histogram_of(cell // CELLS_PER_GROUP, values))


def share_of(runs: int, event: Callable[[], bool]) -> float:
    return sum(event() for _ in range(runs)) / runs


def monte_carlo_error(probability: float, runs: int) -> float:
    return float(np.sqrt(probability * (1 - probability) / runs))
