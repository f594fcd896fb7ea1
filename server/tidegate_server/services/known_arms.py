"""Which arms events may be about: the variants that the environment has or had, and its phases.

Events come late: those of a variant that was removed, or of a flag that was deleted, are taken too.
So are the phases of a flag that was deleted and made again under the same key: they stay apart, for
an arm is a flag, a variant and a phase.
"""

from collections.abc import Sequence

from tidegate_server.domain.events import Arm
from tidegate_server.ports import ConfigStore, Had
from tidegate_server.services.config_feed import ConfigFeed


class KnownArms:
    """Tells known arms from others.

    The store is asked only about arms that this process does not know: it may lag behind.
    """

    def __init__(self, store: ConfigStore, feed: ConfigFeed) -> None:
        self._store = store
        self._feed = feed

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
