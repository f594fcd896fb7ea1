"""What a worker does to a shard at the end of a run, without its figures."""

from collections.abc import Sequence

from tidegate_server.domain.events import Shard
from tidegate_server.ports import AggregateStore, Entry, Fold, entry_bytes


async def fold(store: AggregateStore, shard: Shard, entries: Sequence[Entry]) -> None:
    """Note that the next entries of a shard (at least one) are folded."""
    run = Fold(
        start=await store.offset(shard),
        end=entries[-1].offset,
        size=sum(entry_bytes(entry.payload) for entry in entries),
        before={},
        after={},
        windows={},
    )
    assert await store.commit(shard, run)
