"""The client process of section `pipeline`: sends events in one of three ways, when told to."""

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import redis

import tidegate
from benchmarks.batches_of_events import EVENTS_OF_BATCH, ready_batches
from tidegate.v1 import event_service_pb2

METHOD = "/tidegate.v1.EventService/ReportEvents"
UNDER_WAY = 32
"""Batches that are on their way at the same time."""


def ready(address: str, events: int, _: str) -> Callable[[], None]:
    """Send batches that were made before."""
    requests = [request_of(batch) for batch in ready_batches(events // EVENTS_OF_BATCH)]
    send = grpc.insecure_channel(address).unary_unary(METHOD)
    send(requests[0])
    return lambda: send_all(send, requests)


def request_of(batch: bytes) -> bytes:
    """Return the request that reports a serialized batch."""
    message = event_service_pb2.EventBatch.FromString(batch)
    return event_service_pb2.ReportEventsRequest(batch=message).SerializeToString()


def send_all(send: Any, requests: Sequence[bytes]) -> None:
    """Send requests, UNDER_WAY at the same time, and wait for all answers."""
    room = threading.Semaphore(UNDER_WAY)
    calls = []
    for request in requests:
        room.acquire()
        call = send.future(request)
        call.add_done_callback(lambda _: room.release())
        calls.append(call)
    for call in calls:
        call.result()


def tracked(address: str, events: int, _: str) -> Callable[[], None]:
    """Call `track` as fast as the default queue allows, and flush."""
    client = tidegate.Client(address, record_exposures=False)
    assert client.wait_ready(30)
    choices = [client.assign("chat-model", f"user-{number:012}") for number in range(20_000)]

    def work() -> None:
        for number in range(events // 2):
            if number % 5_000 == 0:
                while client.stats().queued > 80_000:
                    time.sleep(0.005)
            choice = choices[number % len(choices)]
            client.track("latency_ms", 12.5 + number % 100, choice)
            client.track("rating", number % 5, choice)
        assert client.flush(120)
        assert client.stats().dropped == 0

    return work


def naive(_: str, events: int, url: str) -> Callable[[], None]:
    """Add an entry for each event, in pipelines of as many commands as a batch has events."""
    store = redis.Redis.from_url(url)
    fields = {"f": "chat-model", "v": "v1", "p": 1, "o": "latency_ms", "u": "user-0", "x": 12.5}

    def work() -> None:
        for _ in range(events // EVENTS_OF_BATCH):
            pipeline = store.pipeline(transaction=False)
            for _ in range(EVENTS_OF_BATCH):
                pipeline.xadd("naive", fields)  # type: ignore[arg-type]
            pipeline.execute()
        store.delete("naive")

    return work


def main() -> None:
    """Prepare, wait for the word, work, and tell what was computed."""
    kind, address, events, url = sys.argv[1:]
    ways = {
        "from ready batches on": ready,
        "from `track` on": tracked,
        "one XADD an event": naive,
    }
    work = ways[kind](address, int(events), url)
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.process_time()
    work()
    print(json.dumps({"computed": time.process_time() - begun}), flush=True)


if __name__ == "__main__":
    main()
