"""What came of a check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tidegate.backoff import Backoff

Say: TypeAlias = Callable[[str], None]
"""Told how a check stands that is under way."""

AGAIN = Backoff(first=1.0, longest=30.0)
"""Pauses between attempts."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """why: in words, where it did not pass."""

    passed: bool
    why: str = ""


PASSED = Outcome(passed=True)


def failed(why: str) -> Outcome:
    """Return a no."""
    return Outcome(passed=False, why=why)
