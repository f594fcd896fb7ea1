"""Each thing that can be wrong with a store, wrong by itself."""

from dataclasses import replace
from typing import Any

import pytest

from tidegate_server.domain.diagnosis import (
    Finding,
    Level,
    ShardState,
    StoreState,
    judge_shards,
    judge_store,
)
from tidegate_server.domain.events import FOLD, Reader

GOOD = StoreState(
    product="valkey",
    version="9.0.1",
    skew_seconds=0.01,
    append_only=True,
    append_only_healthy=True,
    snapshots_healthy=True,
    fsync="always",
    save="",
    used_memory=1 << 20,
    maxmemory=0,
    eviction="noeviction",
    replicas=0,
)
SHARD = ShardState(0, entries=3, bytes_ahead={FOLD: 500}, age_seconds=0.5, set_aside=0)
ARCHIVE = Reader("archive")


def bad(findings: list[Finding]) -> list[tuple[str, Level]]:
    return [(each.check, each.level) for each in findings if each.level is not Level.OK]


def test_a_good_store_passes() -> None:
    assert bad(list(judge_store(GOOD, wait_replicas=0))) == []


@pytest.mark.parametrize(
    ("wrong", "check", "level", "said"),
    [
        ({"product": "redis", "version": "6.2.14"}, "version", Level.FAILURE, "redis 6.2.14"),
        ({"append_only": False}, "persistence", Level.WARNING, "nothing is persisted"),
        ({"append_only": False, "save": "3600 1"}, "persistence", Level.WARNING, "snapshots only"),
        ({"fsync": "everysec"}, "persistence", Level.WARNING, "about a second"),
        ({"fsync": "no"}, "persistence", Level.WARNING, "the system had not written"),
        ({"append_only_healthy": False}, "persistence", Level.FAILURE, "cannot write"),
        ({"snapshots_healthy": False}, "persistence", Level.FAILURE, "cannot write"),
        ({"eviction": "allkeys-lru"}, "eviction", Level.FAILURE, "allkeys-lru"),
        ({"maxmemory": 1_200_000}, "memory", Level.WARNING, "87%"),
        ({"skew_seconds": -5.0}, "clock", Level.WARNING, "5.0 s"),
        ({"skew_seconds": 90.0}, "clock", Level.FAILURE, "90.0 s"),
    ],
)
def test_what_is_wrong_is_found(wrong: Any, check: str, level: Level, said: str) -> None:
    findings = list(judge_store(replace(GOOD, **wrong), wait_replicas=0))
    assert bad(findings) == [(check, level)]
    (finding,) = (each for each in findings if each.check == check)
    assert said in finding.found
    assert finding.fix


@pytest.mark.parametrize(
    "right",
    [
        {"product": "redis", "version": "7.0.15"},
        {"product": "redis", "version": "10.1"},
        {"product": "valkey", "version": "7.2.4"},
        {"fsync": None},
        {"maxmemory": 1 << 30},
    ],
)
def test_what_is_right_passes(right: Any) -> None:
    assert bad(list(judge_store(replace(GOOD, **right), wait_replicas=0))) == []


def test_replicas_are_counted_where_they_are_awaited() -> None:
    assert bad(list(judge_store(GOOD, wait_replicas=1))) == [("replicas", Level.FAILURE)]
    assert bad(list(judge_store(replace(GOOD, replicas=1), wait_replicas=1))) == []


def test_good_shards_pass() -> None:
    assert bad(list(judge_shards([SHARD], workers=1, limit_bytes=1_000))) == []


def test_no_worker_fails_only_while_events_wait() -> None:
    idle = replace(SHARD, bytes_ahead={FOLD: 0})
    assert ("workers", Level.FAILURE) in bad(list(judge_shards([SHARD], 0, 1_000)))
    assert ("workers", Level.WARNING) in bad(list(judge_shards([idle], 0, 1_000)))


@pytest.mark.parametrize(("age", "level"), [(10.0, Level.WARNING), (300.0, Level.FAILURE)])
def test_lag_is_found(age: float, level: Level) -> None:
    shards = [SHARD, replace(SHARD, shard=1, age_seconds=age)]
    assert bad(list(judge_shards(shards, 1, 1_000))) == [("lag of shard 1", level)]


def test_a_slow_reader_is_named() -> None:
    shard = replace(SHARD, bytes_ahead={FOLD: 0, ARCHIVE: 800})
    findings = list(judge_shards([shard], 1, 1_000))
    assert bad(findings) == [("stream of shard 0", Level.WARNING)]
    assert "'archive'" in next(each.fix for each in findings if each.level is Level.WARNING)


def test_batches_set_aside_are_found() -> None:
    shards = [replace(SHARD, set_aside=2), replace(SHARD, shard=1, set_aside=1)]
    findings = list(judge_shards(shards, 1, 1_000))
    assert bad(findings) == [("set aside", Level.WARNING)]
    assert findings[-1].found.startswith("3 batches")
