"""What is judged of a store and its workers by `tidegate doctor`. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tidegate_server.domain.events import FOLD, Reader

OLDEST_REDIS = (7, 0)
FULL_SHARE = 0.8
"""Share of a limit from which on it is worth a warning."""

SKEW_WARNING_SECONDS, SKEW_FAILURE_SECONDS = 1.0, 60.0
LAG_WARNING_SECONDS, LAG_FAILURE_SECONDS = 10.0, 300.0
_MB = 1 << 20


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what was found; and, if it is not well, what to do."""

    check: str
    level: Level
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class StoreState:
    """What a store says of itself; None where it does not tell.

    version: of Valkey, or of Redis if `product` is "redis". skew_seconds: its clock less this
    machine's. maxmemory: bytes, 0 for no limit. fsync: appendfsync. save: points of snapshots,
    "" for none. replicas: connected ones.
    """

    product: str
    version: str
    skew_seconds: float
    append_only: bool
    append_only_healthy: bool
    snapshots_healthy: bool
    fsync: str | None
    save: str | None
    used_memory: int
    maxmemory: int
    eviction: str
    replicas: int


@dataclass(frozen=True, slots=True)
class ShardState:
    """What is known of one shard.

    bytes_ahead: by reader; set_aside: batches that could not be read; see `ports.Backlog`.
    """

    shard: int
    entries: int
    bytes_ahead: Mapping[Reader, int]
    age_seconds: float
    set_aside: int


def judge_store(state: StoreState, wait_replicas: int) -> Iterator[Finding]:
    """Yield the findings on a store. wait_replicas: as set."""
    yield _version(state)
    yield _persistence(state)
    yield _eviction(state)
    yield _memory(state)
    yield _skew(state)
    if wait_replicas:
        enough = state.replicas >= wait_replicas
        yield Finding(
            "replicas",
            Level.OK if enough else Level.FAILURE,
            f"{state.replicas} connected, {wait_replicas} awaited with every batch",
            "" if enough else "start replicas, or lower TIDEGATE_WAIT_REPLICAS: no batch is taken",
        )


def judge_shards(shards: Sequence[ShardState], workers: int, limit_bytes: int) -> Iterator[Finding]:
    """Yield the findings on workers and shards. limit_bytes: what a shard may hold."""
    waiting = any(shard.bytes_ahead[FOLD] for shard in shards)
    yield Finding(
        "workers",
        Level.OK if workers else Level.FAILURE if waiting else Level.WARNING,
        f"{workers} alive for {len(shards)} shards",
        "" if workers else "start one: `tidegate worker`, or `tidegate up`",
    )
    for shard in shards:
        yield _lag(shard)
        yield _held(shard, limit_bytes)
    aside = sum(shard.set_aside for shard in shards)
    yield Finding(
        "set aside",
        Level.WARNING if aside else Level.OK,
        f"{aside} batches that could not be folded",
        "see them with `tidegate rejected list`" if aside else "",
    )


def _version(state: StoreState) -> Finding:
    found = f"{state.product} {state.version}"
    known = tuple(int(part) for part in state.version.split(".")[:2] if part.isdecimal())
    if state.product == "redis" and known < OLDEST_REDIS:
        return Finding("version", Level.FAILURE, found, "use Redis 7 or later, or Valkey")
    return Finding("version", Level.OK, found)


def _persistence(state: StoreState) -> Finding:
    if not (state.append_only_healthy and state.snapshots_healthy):
        return Finding(
            "persistence",
            Level.FAILURE,
            "the store cannot write to its disk",
            "make room on the disk; the store's log says what failed",
        )
    if not state.append_only:
        snapshots = "snapshots only" if state.save != "" else "nothing is persisted"
        return Finding(
            "persistence",
            Level.WARNING,
            f"no append-only file: {snapshots}, and a restart loses acknowledged events",
            "set `appendonly yes`",
        )
    if state.fsync in (None, "always"):
        fsync = "appendfsync not told" if state.fsync is None else "appendfsync always"
        return Finding("persistence", Level.OK, f"append-only file, {fsync}")
    return Finding(
        "persistence",
        Level.WARNING,
        f"append-only file, appendfsync {state.fsync}: a crash can lose "
        + ("about a second" if state.fsync == "everysec" else "what the system had not written"),
        "set `appendfsync always`, or accept it",
    )


def _eviction(state: StoreState) -> Finding:
    if state.eviction == "noeviction":
        return Finding("eviction", Level.OK, "noeviction")
    return Finding(
        "eviction",
        Level.FAILURE,
        f"{state.eviction}: when memory is short the store deletes flags and events",
        "set `maxmemory-policy noeviction`",
    )


def _memory(state: StoreState) -> Finding:
    used = f"{state.used_memory / _MB:,.0f} MB used"
    if not state.maxmemory:
        return Finding("memory", Level.OK, f"{used}, no limit set")
    share = state.used_memory / state.maxmemory
    return Finding(
        "memory",
        Level.WARNING if share >= FULL_SHARE else Level.OK,
        f"{used} of {state.maxmemory / _MB:,.0f} MB ({share:.0%})",
        "raise `maxmemory`: at the limit events are refused" if share >= FULL_SHARE else "",
    )


def _skew(state: StoreState) -> Finding:
    skew = abs(state.skew_seconds)
    found = f"the store's clock and this machine's are {skew:.1f} s apart"
    fix = "set the clocks by NTP: events are dated by them"
    return Finding("clock", _level(skew, SKEW_WARNING_SECONDS, SKEW_FAILURE_SECONDS), found, fix)


def _lag(shard: ShardState) -> Finding:
    return Finding(
        f"lag of shard {shard.shard}",
        _level(shard.age_seconds, LAG_WARNING_SECONDS, LAG_FAILURE_SECONDS),
        f"the oldest event that is not counted is {shard.age_seconds:,.1f} s old",
        "start more workers; their log tells what holds them up",
    )


def _held(shard: ShardState, limit_bytes: int) -> Finding:
    slowest, most = max(shard.bytes_ahead.items(), key=lambda each: each[1])
    share = most / limit_bytes
    return Finding(
        f"stream of shard {shard.shard}",
        Level.WARNING if share >= FULL_SHARE else Level.OK,
        f"{shard.entries:,} batches, {most / _MB:,.1f} of {limit_bytes / _MB:,.0f} MB",
        f"its slowest reader is {slowest!r}: at the limit events are refused",
    )


def _level(value: float, warning: float, failure: float) -> Level:
    if value >= failure:
        return Level.FAILURE
    return Level.WARNING if value >= warning else Level.OK
