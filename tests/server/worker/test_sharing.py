from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tidegate_server.domain.events import Shard, WorkerId
from tidegate_server.worker.sharing import shards_of

WORKERS = st.sets(st.text("abc", min_size=1, max_size=4), min_size=1).map(
    lambda names: sorted(map(WorkerId, names))
)
SHARDS = st.integers(1, 40).map(lambda count: [Shard(i) for i in range(count)])


@given(WORKERS, SHARDS)
def test_each_shard_has_one_worker_and_workers_have_alike(
    living: list[WorkerId], shards: list[Shard]
) -> None:
    owned = {worker: shards_of(worker, living, shards) for worker in living}
    assert Counter(shard for each in owned.values() for shard in each) == Counter(shards)
    sizes = [len(each) for each in owned.values()]
    assert max(sizes) - min(sizes) <= 1


def test_a_worker_that_is_not_known_has_none() -> None:
    assert shards_of(WorkerId("c"), [WorkerId("a"), WorkerId("b")], [Shard(0)]) == frozenset()
    assert shards_of(WorkerId("c"), [], [Shard(0)]) == frozenset()
