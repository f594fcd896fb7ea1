"""Which arms events may be about: the variants that the environment has or had, and its phases.

Events come late: those of a variant that was removed, or of a flag that was deleted, are taken too.
So are the phases of a flag that was deleted and made again under the same key: they stay apart, for
an arm is a flag, a variant and a phase.
"""

from collections.abc import Sequence

from tidegate.model import Snapshot
from tidegate_server.domain.events import Arm
from tidegate_server.domain.intake import Dictionary, Sent
from tidegate_server.ports import ConfigStore, Had
from tidegate_server.services.config_feed import ConfigFeed

MOST_REMEMBERED = 512
"""How many dictionaries of known arms are remembered."""


class KnownArms:
    """Tells known arms from others.

    The store is asked only about arms that this process does not know: it may lag behind.
    """

    def __init__(self, store: ConfigStore, feed: ConfigFeed) -> None:
        self._store = store
        self._feed = feed
        self._known: set[Dictionary] = set()
        self._known_at: Snapshot | None = None

    async def problems_of(self, sent: Sent) -> list[str]:
        """Return the problems of `sent.arms`. Until the next change it remembers what is known.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        if self._known_at is not self._feed.snapshot or len(self._known) >= MOST_REMEMBERED:
            self._known_at, self._known = self._feed.snapshot, set()
        remembered = self._known
        if not sent.dropped and sent.dictionary in remembered:
            return [""] * len(sent.series)
        found = await self.problems(sent.arms)
        if not any(found):
            remembered.add(sent.dictionary)
        return found

    async def problems(self, arms: Sequence[Arm | None]) -> list[str]:
        """Return what is wrong with each arm, beginning with the field; "" if nothing, or None.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        doubtful = [arm for arm in set(arms) if arm is not None and not self._configured(arm)]
        if not doubtful:
            return [""] * len(arms)
        had = await self._store.had([(arm.flag, arm.variant) for arm in doubtful])
        found = {arm: _problem(arm, had) for arm in doubtful}
        return [found.get(arm, "") if arm is not None else "" for arm in arms]

    def _configured(self, arm: Arm) -> bool:
        snapshot = self._feed.snapshot
        flag = snapshot.flags.get(arm.flag)
        return (
            flag is not None
            and arm.phase <= snapshot.revision
            and any(variant.key == arm.variant for variant in flag.variants)
        )


def _problem(arm: Arm, had: Had) -> str:
    if arm.flag not in had.flags:
        return f"flag_key: this environment has no flag {arm.flag!r}"
    if (arm.flag, arm.variant) not in had.variants:
        return f"variant: flag {arm.flag!r} has no variant {arm.variant!r}"
    if arm.phase > had.revision:
        return (
            f"phase: {arm.phase} is out of range: the environment is at revision {had.revision}, "
            "and a phase is a revision"
        )
    return ""
