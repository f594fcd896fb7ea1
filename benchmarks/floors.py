"""The least that any implementation in Python must do: what ours is compared with."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import time
from typing import Any

import mmh3

from tidegate.model import Flag

Attributes = Mapping[str, Any]
Matcher = Callable[[Attributes], bool]

hash32 = mmh3.hash


class Floor:
    """A client that does nothing but look up the flag, hash, search, and return what was built.

    `rules` are tried before; `seen` and `events` serve `assign_exposed` only.
    """

    def __init__(self, flags: Iterable[Flag], rules: Sequence[tuple[Matcher, object]] = ()) -> None:
        self._flags = {
            str(flag.key): (
                f"{flag.salt}:",
                list(flag.allocation.starts[1:]),
                [object() for _ in flag.allocation.starts],
                set[str](),
            )
            for flag in flags
        }
        self._rules = tuple(rules)
        self.events: deque[tuple[object, str, str, float, float]] = deque()

    def assign(self, flag: str, unit: str) -> object:
        """Hash and search."""
        prefix, bounds, results, _ = self._flags[flag]
        return results[bisect_right(bounds, hash32(prefix + unit, 0, False))]

    def assign_by_rules(self, flag: str, unit: str, attributes: Attributes) -> object:
        """The same behind the rules."""
        prefix, bounds, results, _ = self._flags[flag]
        for matches, result in self._rules:
            if matches(attributes):
                return result
        return results[bisect_right(bounds, hash32(prefix + unit, 0, False))]

    def assign_exposed(self, flag: str, unit: str) -> object:
        """Hash, search, and queue an event where the unit is new."""
        prefix, bounds, results, seen = self._flags[flag]
        result = results[bisect_right(bounds, hash32(prefix + unit, 0, False))]
        if unit not in seen:
            seen.add(unit)
            self.events.append((result, "", unit, time(), 1.0))
        return result

    def track(self, outcome: str, value: float, given: tuple[object, str]) -> None:
        """Queue an event."""
        self.events.append((given[0], outcome, given[1], time(), value))


def rules() -> list[tuple[Matcher, object]]:
    """Return the rules of `flags.RULES` as closures, as plain as can be."""
    plans, countries = frozenset({"pro", "team"}), frozenset({"US", "CA"})

    def has_plan(attributes: Attributes) -> bool:
        return attributes.get("plan") in plans

    def has_country(attributes: Attributes) -> bool:
        return attributes.get("country") in countries

    def has_age(attributes: Attributes) -> bool:
        age = attributes.get("age")
        return age is not None and age > 60

    return [(matches, object()) for matches in (has_plan, has_country, has_age)]
