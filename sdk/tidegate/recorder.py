"""Turns what the application reports into events: outcomes checked, exposures deduplicated.

Nothing here raises, and nothing waits: what can't be recorded is counted, and logged once.
"""

import logging
import math
import re
import threading
from collections.abc import Callable
from numbers import Real
from time import time

from tidegate.evaluation import Given
from tidegate.event_batch import ArmKey, Event, arm_key
from tidegate.log_limit import LogLimit

log = logging.getLogger("tidegate")

OUTCOME = re.compile(r"[a-z0-9._-]{1,100}")
OUTCOME_RULE = "1 to 100 characters of a-z, 0-9, '.', '_' and '-'"

MOST_NAMES = 1_000
"""Names of outcomes that are remembered as valid."""

MOST_MARKS = 250_000
"""Exposures that are remembered, of all flags together (about 50 MB); then all are forgotten."""


class Recorder:
    """Records outcomes, and the first exposure of each unit to each flag, variant and phase.

    `seen` is for the caller's quick look: a unit that is in `seen[given]` needs no `expose`.
    """

    def __init__(self, add: Callable[[Event], bool]) -> None:
        """`add` queues an event; it returns False for one that it dropped."""
        self.seen: dict[Given, dict[str, float]] = {}
        self._marks: dict[ArmKey, dict[str, float]] = {}
        self._marks_left = MOST_MARKS
        self._add = add
        self._names: set[str] = set()
        self._refused = 0
        self._lock = threading.RLock()
        self._limited_log = LogLimit(log, seconds=math.inf)

    @property
    def refused(self) -> int:
        """Number of outcomes that could not be recorded."""
        return self._refused

    def track(self, given: Given, unit_id: str, outcome: str, value: float) -> None:
        """Record an outcome of a unit: a finite number or a boolean."""
        try:
            number = value if type(value) is float else _number(value)
            if (
                outcome in self._names
                and given.variant
                and math.isfinite(number)
                and type(unit_id) is str
            ):
                self._add((given, outcome, unit_id, time(), number))
            else:
                self._track_checked(given, unit_id, outcome, number)
        except Exception as error:  # noqa: BLE001 - must not reach the application
            self.refuse(f"{outcome!r:.100}", "it could not be read", error)

    def expose(self, given: Given, unit_id: str) -> None:
        """Record that a unit was given a variant, unless that is known already."""
        marks = self.seen.get(given)
        if marks is None:
            marks = self._marks_of(given)
        if type(unit_id) is not str:
            unit_id = str.__str__(unit_id)
        now = time()
        if marks.setdefault(unit_id, now) is not now:  # atomic: one of two threads goes on
            return
        if not self._add((given, "", unit_id, now, 1.0)):
            marks.pop(unit_id, None)  # dropped: its next assignment is another chance
            return
        self._marks_left -= 1
        if self._marks_left <= 0:
            self._forget()

    def refuse(self, outcome: str, why: str, error: Exception | None = None) -> None:
        """Count an outcome that can't be recorded, and log it once by its name."""
        with self._lock:
            self._refused += 1
        self._limited_log.warning(
            outcome, "outcome %s is not recorded: %s", outcome, why, error=error
        )

    def _track_checked(self, given: Given, unit_id: str, outcome: str, number: float) -> None:
        name = f"{outcome!r:.100}"
        if not given.variant:
            self.refuse(name, f"the assignment has no variant ({given.reason.value})")
        elif not OUTCOME.fullmatch(outcome):
            self.refuse(name, f"its name must be {OUTCOME_RULE}")
        elif not math.isfinite(number):
            self.refuse(name, "its value must be a finite number or a boolean")
        else:
            if len(self._names) >= MOST_NAMES:
                self._names.clear()
            self._names.add(outcome)
            self._add((given, outcome, str.__str__(unit_id), time(), number))

    def _marks_of(self, given: Given) -> dict[str, float]:
        """Return the units that are known to have been exposed; the same for all of an arm."""
        if len(self.seen) >= MOST_MARKS:
            self._forget()
        return self.seen.setdefault(given, self._marks.setdefault(arm_key(given), {}))

    def _forget(self) -> None:
        self.seen = {}
        self._marks = {}
        self._marks_left = MOST_MARKS


def _number(value: object) -> float:
    """Return a number or boolean as a float; NaN for anything else."""
    if isinstance(value, Real):
        try:
            return float(value)
        except OverflowError:
            return math.nan
    return math.nan
