"""Turns what the application reports into events: outcomes checked, exposures deduplicated.

Nothing here raises, and nothing waits: what can't be recorded is counted, and logged once.
"""

import logging
import math
import re
import threading
from collections.abc import Callable, Collection
from numbers import Real
from time import time
from typing import TypeAlias

from tidegate.arm import Arm, outside_split
from tidegate.evaluation import Given
from tidegate.event_batch import ArmKey, Event, arm_key
from tidegate.log_limit import LogLimit
from tidegate.token import read_token

log = logging.getLogger("tidegate")

OUTCOME = re.compile(r"[a-z0-9._-]{1,100}")
OUTCOME_RULE = "1 to 100 characters of a-z, 0-9, '.', '_' and '-'"

LARGEST = 1e100
"""Largest magnitude of an outcome; the server refuses batches with larger ones."""

SERVED = "served."
"""Begins the outcome that names the variant that was served instead of the assigned one."""

MOST_NAMES = 1_000
"""Names of outcomes that are remembered as valid."""

MOST_SEEN = 250_000
"""Exposures that are remembered, of all flags together (about 40 MB); then all are forgotten."""


SeenKey: TypeAlias = tuple[ArmKey, bool]
"""An arm, and whether its units lie outside the split."""


class Recorder:
    """Records outcomes, and the first exposure of each unit to each flag, variant and phase.

    `add` queues an event; it returns False for one that it dropped. `room` is for how many more
    units `seen_by` may grow.
    """

    def __init__(
        self,
        add: Callable[[Event], bool],
        variants_of: Callable[[str], Collection[str] | None] = lambda _: None,
        forgotten: Callable[[], object] = lambda: None,
    ) -> None:
        """Record through `add`.

        Args:
            add: see above.
            variants_of: the keys of a flag's variants; None where the flag is not known.
            forgotten: called when the sets that `seen_by` gave out are to be dropped.
        """
        self._seen: dict[SeenKey, set[str]] = {}
        self.room = MOST_SEEN
        self._forgotten = forgotten
        self.add = add
        self._variants_of = variants_of
        self._names: set[str] = set()
        self._reset()

    def _reset(self) -> None:
        """Set what belongs to one process."""
        self._refused = 0
        self._lock = threading.RLock()
        self._limited_log = LogLimit(log, seconds=math.inf)

    def after_fork(self) -> None:
        """Begin to count anew; exposures that the parent process recorded are its to report."""
        self._reset()

    @property
    def refused(self) -> int:
        """Number of outcomes that could not be recorded."""
        return self._refused

    def track(self, given: Given, unit_id: str, outcome: str, value: float) -> None:
        """Record an outcome of a unit: a boolean, or a number within ±LARGEST."""
        try:
            number = value if type(value) is float else _number(value)
            if (
                outcome in self._names
                and given.variant
                and -LARGEST <= number <= LARGEST
                and type(unit_id) is str
            ):
                self.add((given, outcome, unit_id, time(), number))
            else:
                self._track_checked(given, unit_id, outcome, number)
        except Exception as error:  # noqa: BLE001 - must not reach the application
            self.refuse(shown(outcome), "it could not be read", error)

    def track_token(self, token: str, outcome: str, value: float) -> None:
        """Record an outcome of the assignment that a token stands for; see `track`."""
        try:
            arm, unit = read_token(token)
            self._track_checked(arm, unit, outcome, _number(value))
        except ValueError as error:
            self.refuse(shown(outcome), str(error))
        except Exception as error:  # noqa: BLE001 - must not reach the application
            self.refuse(shown(outcome), "it could not be read", error)

    def served(self, given: Given, unit_id: str, variant: str) -> None:
        """Record that a unit was served another variant than it was assigned."""
        try:
            known = self._variants_of(given.flag)
            if given.variant and known is not None and variant not in known:
                self.refuse(
                    f"{SERVED}{shown(variant)}",
                    f"flag {given.flag} has no such variant; give one of {sorted(known)!r:.300}",
                )
            elif variant != given.variant or not given.variant:
                self._track_checked(given, unit_id, f"{SERVED}{variant}", 1.0)
        except Exception as error:  # noqa: BLE001 - must not reach the application
            self.refuse(f"{SERVED}{shown(variant)}", "it could not be read", error)

    def seen_by(self, given: Given) -> set[str]:
        """Return the units whose exposure is known: one set for all that belongs to an arm.

        Who adds a unit to it takes one from `room`, and calls `forget` when there is none left.
        """
        key = arm_key(given), outside_split(given)
        seen = self._seen.get(key)
        if seen is None:
            self.room -= 1
            seen = self._seen.setdefault(key, set())
        return seen

    def expose(self, given: Given, unit_id: str) -> None:
        """Record that a unit was given a variant, unless that is known already.

        `Client.assign` does the same by itself. No other thread comes between the look and the
        addition, as long as there is one interpreter lock; the server counts such a unit once.
        """
        unit, seen = str.__str__(unit_id), self.seen_by(given)
        if unit in seen:
            return
        seen.add(unit)
        if not self.add((given, "", unit, time(), 1.0)):
            seen.discard(unit)  # dropped: its next assignment is another chance
        self.room -= 1
        if self.room <= 0:
            self.forget()

    def forget(self) -> None:
        """Forget all exposures."""
        self._seen = {}
        self.room = MOST_SEEN
        self._forgotten()

    def refuse(self, outcome: str, why: str, error: Exception | None = None) -> None:
        """Count an outcome that can't be recorded, and log it once by its name and the cause."""
        with self._lock:
            self._refused += 1
        self._limited_log.warning(
            f"{outcome}: {why}", "outcome %s is not recorded: %s", outcome, why, error=error
        )

    def _track_checked(
        self, what: Given | Arm, unit: str | bytes, outcome: str, number: float
    ) -> None:
        name = shown(outcome)
        if isinstance(what, Given) and not what.variant:
            self.refuse(name, f"the assignment has no variant ({what.reason.value})")
        elif not OUTCOME.fullmatch(outcome):
            self.refuse(name, f"its name must be {OUTCOME_RULE}")
        elif not -LARGEST <= number <= LARGEST:
            self.refuse(name, "its value must be a boolean or a finite number within ±1e100")
        else:
            if len(self._names) >= MOST_NAMES:
                self._names.clear()
            self._names.add(outcome)
            plain = str.__str__(unit) if isinstance(unit, str) else unit
            self.add((what, outcome, plain, time(), number))


def shown(value: object) -> str:
    """Return how messages show what the application gave; at most 100 characters."""
    try:
        return f"{value!r:.100}"
    except Exception:  # noqa: BLE001 - a faulty __repr__ must not reach the application either
        return f"a {type(value).__name__}"


def _number(value: object) -> float:
    """Return a number or boolean as a float; NaN for anything else."""
    if isinstance(value, int) or isinstance(value, Real):  # noqa: SIM101 - the former is fast
        try:
            return float(value)
        except OverflowError:
            return math.nan
    return math.nan
