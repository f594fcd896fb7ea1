"""Batches that are ready to be sent, as any client of the API may make them."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import grpc

from tests.e2e.tally import Tally, add
from tidegate.v1 import event_service_pb2, event_service_pb2_grpc, flag_pb2

EVENTS = 200
"""Events in each batch."""


def requests(flag: flag_pb2.Flag) -> Iterator[tuple[event_service_pb2.ReportEventsRequest, Tally]]:
    """Yield batches of ratings, each under another variant than the one before, without end."""
    values = [unit % 5 for unit in range(EVENTS)]
    for number in count():
        variant = flag.variants[number % len(flag.variants)].key
        now_ms = time.time_ns() // 1_000_000
        tally = Tally()
        for value in values:
            add(tally, variant, "rating", value)
        batch = event_service_pb2.EventBatch(
            batch_id=now_ms.to_bytes(6) + secrets.token_bytes(10),
            series=[
                event_service_pb2.Series(
                    flag_key=flag.key, variant=variant, phase=flag.phase, outcome="rating"
                )
            ],
            base_time_ms=now_ms,
            series_indexes=[0] * EVENTS,
            unit_hashes=[secrets.randbits(64) for _ in range(EVENTS)],
            time_offsets_ms=[0] * EVENTS,
            values=values,
        )
        yield event_service_pb2.ReportEventsRequest(batch=batch), tally


@contextmanager
def event_service(address: str) -> Iterator[event_service_pb2_grpc.EventServiceStub]:
    """Open a channel of its own to the EventService."""
    with grpc.insecure_channel(address) as channel:
        yield event_service_pb2_grpc.EventServiceStub(channel)
