"""Pinned sessions: a running conversation keeps its variant while the flag's split changes.

Pins live in this process. A pin is broken when its flag is killed or deleted, when its variant has
no range left in the allocation that gave it, and when it was not used for `ttl` seconds.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from tidegate.evaluation import Given
from tidegate.model import Flag, FlagKey, Reason, RuleSplit, Snapshot, VariantKey

MOST_SESSIONS = 100_000
"""Pins that are kept (about 40 MB); the least recently used goes first."""

LONGEST_SESSION_ID = 1_000
"""Most characters of a session's id."""


class Sessions:
    """Keeps what sessions were given. A session belongs to one unit, and has a pin for each flag.

    What a split gave is pinned: the flag's own or a rule's. What was given for any other reason is
    not, since nothing but an edit of the flag or other attributes can change it.
    """

    def __init__(
        self,
        ttl: float,
        *,
        size: int = MOST_SESSIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ttl`: seconds after its last use that a pin holds; `size`: most pins."""
        self._ttl = ttl
        self._size = size
        self._clock = clock
        self._pins: OrderedDict[tuple[str, str, str], _Pin] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pins)

    def given(self, snapshot: Snapshot, session_id: str, unit_id: str, now_given: Given) -> Given:
        """Return what a session is given; `now_given` is what it would be given without its pin.

        A pinned variant comes with the phase of its pin, and with Reason.PINNED where the present
        allocation would have decided otherwise, or in another phase.
        """
        flag = snapshot.flags.get(FlagKey(now_given.flag))
        key = (now_given.flag, unit_id, session_id)
        now = self._clock()
        with self._lock:
            pin = self._pins.get(key)
            if pin is not None and not (flag and pin.holds(flag) and now <= pin.expires):
                del self._pins[key]
                pin = None
            if pin is None:
                if flag is None or not _can_be_pinned(flag, now_given):
                    return now_given
                pin = self._pins[key] = _Pin(flag, now_given)
                self._make_room(now)
            pin.expires = now + self._ttl
            self._pins.move_to_end(key)
        return pin.given(now_given)

    def after_fork(self) -> None:
        """Replace the lock, which another thread may have held when this process was forked."""
        self._lock = threading.Lock()

    def _make_room(self, now: float) -> None:
        """Forget what expired, and what is too much: the oldest come first."""
        while len(self._pins) > self._size or next(iter(self._pins.values())).expires < now:
            self._pins.popitem(last=False)


class _Pin:
    """What a session was given."""

    __slots__ = ("_created", "_given", "expires")

    def __init__(self, flag: Flag, given: Given) -> None:
        self._created = flag.create_time
        self._given = given
        self.expires = float("inf")

    def holds(self, flag: Flag) -> bool:
        """Return whether the flag as it is now leaves the pin as it is."""
        pinned = self._given
        return (
            not flag.killed
            and flag.create_time == self._created
            and pinned.variant in _owners(flag, pinned.rule)
        )

    def given(self, now_given: Given) -> Given:
        """Return the pinned variant, and as its reason what decided."""
        pinned = self._given
        if now_given is pinned:
            return pinned
        same = (
            (now_given.variant, now_given.phase, now_given.reason, now_given.rule)
            == (pinned.variant, pinned.phase, pinned.reason, pinned.rule)
        )  # fmt: skip
        return now_given if same else _as_pinned(pinned)


@lru_cache(maxsize=1_024)
def _as_pinned(given: Given) -> Given:
    """Return the same for all sessions with this pin: it is what exposures are deduplicated by."""
    return replace(given, reason=Reason.PINNED)


def _can_be_pinned(flag: Flag, given: Given) -> bool:
    if given.reason is Reason.SPLIT:
        return True
    return given.reason is Reason.RULE and given.variant in _owners(flag, given.rule)


def _owners(flag: Flag, rule_name: str) -> tuple[VariantKey, ...]:
    """Return who has ranges now: in the split of the named rule, or in the flag's own for ""."""
    if rule_name:
        splits = (rule.serve for rule in flag.rules if rule.name == rule_name)
        return next((s.allocation.variants for s in splits if isinstance(s, RuleSplit)), ())
    in_layer = flag.layer is None or VariantKey(flag.key) in flag.layer.allocation.variants
    return flag.allocation.variants if flag.enrolment_ppm and in_layer else ()
