"""Batches of events as a busy client sends them: four outcomes, half of the units met before."""

import secrets
import time

import numpy as np

from tidegate.v1 import event_service_pb2

EVENTS_OF_BATCH = 500
UNITS = 20_000
OUTCOMES = ("", "latency_ms", "error", "rating")


def ready_batches(count: int, *, events: int = EVENTS_OF_BATCH) -> list[bytes]:
    """Return serialized batches of a flag with two variants, without ids of units."""
    rng = np.random.default_rng(5)
    units = rng.integers(0, 1 << 64, UNITS, np.uint64)
    return [_batch(rng, units, events) for _ in range(count)]


def _batch(rng: np.random.Generator, units: np.ndarray, events: int) -> bytes:
    outcome = rng.integers(0, len(OUTCOMES), events)
    who = rng.integers(0, UNITS, events)
    values = np.select(
        [outcome == 0, outcome == 1, outcome == 2],
        [1.0, rng.lognormal(5, 1, events), rng.random(events) < 0.02],
        rng.integers(1, 6, events),
    )
    now_ms = time.time_ns() // 1_000_000
    return event_service_pb2.EventBatch(
        batch_id=now_ms.to_bytes(6) + secrets.token_bytes(10),
        series=[
            event_service_pb2.Series(
                flag_key="chat-model", variant=variant, phase=1, outcome=name, version_id="0" * 16
            )
            for variant in ("v1", "v2")
            for name in OUTCOMES
        ],
        base_time_ms=now_ms,
        series_indexes=(outcome + len(OUTCOMES) * (who % 2)).tolist(),
        unit_hashes=units[who].tolist(),
        time_offsets_ms=np.sort(rng.integers(-1_000, 0, events)).tolist(),
        values=values.astype(float).tolist(),
    ).SerializeToString()
