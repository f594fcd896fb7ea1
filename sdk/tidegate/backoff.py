"""How long to wait before the next attempt."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from `first` to `longest` (seconds, above 0), each jittered."""

    first: float = 0.25
    longest: float = 3.0

    def pause(self, failures: int, rng: random.Random | None = None) -> float:
        """Return the seconds to wait after `failures` (>= 1) failures in a row.

        The pause is uniform over the upper nine tenths of its range, so that clients which lost
        their server at one moment don't all come back at one moment.
        """
        bound = min(self.longest, self.first * 2.0 ** min(failures - 1, 32))
        uniform = random.uniform if rng is None else rng.uniform
        return uniform(0.1, 1.0) * bound
