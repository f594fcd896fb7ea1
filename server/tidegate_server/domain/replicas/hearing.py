"""Silence counts against replicas only while they can be heard.

When the store comes back that was away, or a server that was the only one, no replica has been
heard of for long, though all may live: were they taken for gone, nobody would be given one until
they are heard again. So those that lived before are spared for as long as silence is allowed.
"""

from dataclasses import replace
from datetime import datetime

from tidegate_server.domain.replicas.replica import Fleet, Policy, ReplicaId


class Hearing:
    """Judges replicas as they are read, one look after another.

    It begins with an interruption: whoever is new does not know what could be heard before.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._living: frozenset[ReplicaId] | None = None  # at the last look; None: none was taken
        self._spares_until: datetime | None = None  # None: from the next look on

    def interrupt(self) -> None:
        """Note that replicas can't be heard, until the next look."""
        self._spares_until = None

    def judge(self, fleet: Fleet) -> Fleet:
        """Return what was read, with those spared that may be silent for no fault of theirs."""
        if self._living is None:
            self._living = self._last_heard(fleet)
        if self._spares_until is None:
            self._spares_until = fleet.now + self._policy.silence
        spares = fleet.now < self._spares_until
        replicas = {
            name: replace(one, spared=True)
            if spares and name in self._living and not self._policy.lives(one, fleet.now)
            else one
            for name, one in fleet.replicas.items()
        }
        self._living = frozenset(
            name for name, one in replicas.items() if self._policy.lives(one, fleet.now)
        )
        return replace(fleet, replicas=replicas)

    def _last_heard(self, fleet: Fleet) -> frozenset[ReplicaId]:
        """Return those that lived when any was heard last."""
        replicas = fleet.replicas
        last = max((one.heard for one in replicas.values()), default=fleet.now)
        return frozenset(name for name, one in replicas.items() if self._policy.lives(one, last))
