"""Which of a version's replicas is asked next: the less busy of two that chance chooses."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

FAILURE_SECONDS = 5.0
"""For so long a request that failed counts as under way: what fails at once would else seem free,
and draw all requests."""

MOST_FAILURES = 1_000
"""How many failures of a replica are remembered."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One running model server, as last heard of.

    address: as it registered. load: how busy it said it is, >= 0; heard: when, in seconds since
    1970. capacity: requests that it may have under way; 0: not known.
    """

    id: str
    address: str
    variant: str
    load: float = 0.0
    capacity: int = 0
    heard: float = 0.0


class UnderWay:
    """Counts what is under way, from any thread, without a lock."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: deque[None] = deque()

    def begin(self) -> None:
        """Count one more."""
        self._marks.append(None)

    def end(self) -> None:
        """Count one less."""
        self._marks.pop()

    def __len__(self) -> int:
        return len(self._marks)


class Member:
    """A replica, with what this process has under way there."""

    __slots__ = ("_clock", "_counted", "_failures", "replica", "under_way")

    def __init__(self, replica: Replica, clock: Callable[[], float] = time.monotonic) -> None:
        self.replica = replica
        self.under_way = UnderWay()
        self._counted = 0  # what was under way from here when the replica said how busy it is
        self._failures: deque[float] = deque(maxlen=MOST_FAILURES)
        self._clock = clock

    def renew(self, replica: Replica) -> None:
        """Take news of the replica."""
        if replica.heard != self.replica.heard:
            self._counted = len(self.under_way)
        self.replica = replica

    def note_failure(self) -> None:
        """Note that a request failed now."""
        self._failures.append(self._clock())

    @property
    def business(self) -> float:
        """How busy it is, by its capacity: what it said, and what has begun from here since.

        At least what is under way from here.
        """
        replica, own = self.replica, len(self.under_way)
        capacity = replica.capacity or 1
        requests = max(own, replica.load * capacity + own - self._counted)
        if self._failures:
            requests += self._recent_failures()
        return requests / capacity

    def _recent_failures(self) -> int:
        since = self._clock() - FAILURE_SECONDS
        return sum(time > since for time in tuple(self._failures))


class KnownReplicas:
    """The replicas that take traffic. `groups`, by version, is replaced, never changed."""

    def __init__(self) -> None:
        self.groups: Mapping[str, tuple[Member, ...]] = {}
        self._members: dict[str, Member] = {}

    def update(self, replicas: Iterable[Replica]) -> None:
        """Know these from now on; what is under way at those that stay is still counted."""
        members: dict[str, Member] = {}
        groups: dict[str, list[Member]] = {}
        for each in replicas:
            member = self._members.get(each.id)
            if member is None or member.replica.address != each.address:
                member = Member(each)
            member.renew(each)
            members[each.id] = member
            groups.setdefault(each.variant, []).append(member)
        self._members = members
        self.groups = {variant: tuple(group) for variant, group in groups.items()}

    def after_fork(self) -> None:
        """Begin to count anew: what is under way in the parent process is not the child's."""
        replicas = [member.replica for member in self._members.values()]
        self._members = {}
        self.update(replicas)


def less_busy(members: Sequence[Member], chance: Callable[[], float] = random.random) -> Member:
    """Return the less busy of two of these (at least one). chance: uniform in [0, 1)."""
    number = len(members)
    first = int(chance() * number)
    if number == 1:
        return members[0]
    second = int(chance() * (number - 1))
    one, other = members[first], members[second + (second >= first)]
    return one if one.business <= other.business else other
