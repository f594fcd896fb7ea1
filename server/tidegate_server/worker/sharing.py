"""How workers share the shards: by turns, each shard with one worker. Pure."""

from collections.abc import Sequence

from tidegate_server.domain.events import Shard, WorkerId


def shards_of(
    worker: WorkerId, living: Sequence[WorkerId], shards: Sequence[Shard]
) -> frozenset[Shard]:
    """Return the shards of one worker, given all workers that live, in one order for all.

    Of two workers one has at most one shard more. A worker that is not among the living has none.
    """
    return frozenset(
        shard
        for place, shard in enumerate(shards)
        if living and living[place % len(living)] == worker
    )
