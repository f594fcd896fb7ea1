from redis.crc import key_slot

from tests.server.storage.samples import arm
from tidegate.model import FlagKey
from tidegate_server.analysis.windows import Resolution
from tidegate_server.domain.events import Shard
from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.storage.keys import ConfigKeys, ExperimentKeys, ReplicaKeys, ShardKeys


def test_all_configuration_of_an_environment_is_in_one_slot() -> None:
    keys = ConfigKeys("prod")
    replicas = ReplicaKeys("prod")
    every = [*keys.commit, keys.workers, *every_key_of_experiments(ExperimentKeys("prod"))]
    every += [replicas.replicas, replicas.changes]
    assert len(set(every)) == 20
    assert len({key_slot(key.encode()) for key in every}) == 1


def test_all_keys_of_a_shard_are_in_one_slot_and_shards_are_spread() -> None:
    slots = [
        {key_slot(key.encode()) for key in every_key(ShardKeys("prod", Shard(shard)))}
        for shard in range(8)
    ]
    assert all(len(each) == 1 for each in slots)
    assert len(set.union(*slots)) > 4


def test_no_two_things_share_a_key() -> None:
    names = [key for shard in (0, 1) for key in every_key(ShardKeys("prod", Shard(shard)))]
    names += every_key(ShardKeys("prod.0", Shard(0)))
    assert len(set(names)) == len(names)


def every_key_of_experiments(keys: ExperimentKeys) -> list[str]:
    experiments = [ExperimentKey("chat-v2"), ExperimentKey("chat-v3")]
    return [
        keys.experiments,
        keys.versions,
        keys.holders,
        keys.count,
        keys.changes,
        keys.outbox,
        keys.leader,
        *(keys.decisions(each) for each in experiments),
        *(keys.looks(each) for each in experiments),
        *(keys.gates(each) for each in experiments),
    ]


def every_key(keys: ShardKeys) -> list[str]:
    arms = [arm("v1", 1), arm("v1", 11), arm("v2", 1), arm("v1", 1, "other")]
    return [
        keys.stream,
        keys.progress,
        keys.rejected,
        keys.batches(0),
        keys.batches(29_000_000),
        keys.arms(FlagKey("chat-model")),
        *(keys.arm(each) for each in arms),
        *(keys.units(each) for each in arms),
        *(keys.windows(each, resolution, 7) for each in arms for resolution in Resolution),
    ]
