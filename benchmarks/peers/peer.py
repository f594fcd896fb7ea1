"""What an adapter gives: functions from a unit's id to its variant, as applications call them."""

from collections.abc import Callable
from dataclasses import dataclass

FLAG = "chat-model"
CONTROL, TREATMENT = "control", "treatment"

Choose = Callable[[str], str]


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One SDK: `quiet` records nothing; `recording` records an exposure, where that is possible.

    `how` says what is recorded, and `close` ends the SDK.
    """

    quiet: Choose
    recording: Choose | None = None
    how: str = ""
    close: Callable[[], None] = nothing


def check(choose: Choose) -> None:
    """See that an SDK does what it is measured for: about half of the units get each variant.

    Raises:
        RuntimeError: it doesn't.
    """
    given = [choose(f"check-{number}") for number in range(2_000)]
    share = given.count(TREATMENT) / len(given)
    if set(given) != {CONTROL, TREATMENT} or not 0.4 < share < 0.6:
        raise RuntimeError(f"gave {TREATMENT} to {share:.0%} of units, and {sorted(set(given))}")
