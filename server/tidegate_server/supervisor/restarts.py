"""When a role that died is started again: jittered exponential back-off."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Delays between lives of a role, all in seconds and above 0.

    first: delay after the first failure; each further one doubles it.
    longest: no delay is longer.
    steady: a life at least this long makes the next failure the first again.
    start_attempts: failures before a role was ever ready after which the start is given up, >= 1.
    """

    first: float = 0.2
    longest: float = 15.0
    steady: float = 30.0
    start_attempts: int = 3

    def failures(self, before: int, lasted: float) -> int:
        """Count the failures in a row, after a life of `lasted` seconds ended in one more."""
        return 1 if lasted >= self.steady else before + 1

    def delay(self, failures: int, draw: float) -> float:
        """Return the delay after `failures` (>= 1) in a row; `draw` in [0, 1) is the jitter.

        The delay is between half of and the whole min(longest, first * 2^(failures - 1)).
        """
        doublings = min(failures - 1, 30)
        return float(min(self.longest, self.first * 2**doublings) * (1 - draw / 2))
