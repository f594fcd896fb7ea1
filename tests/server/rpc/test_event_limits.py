"""Damaged, huge and compressed requests to a server of its own process: its memory stays flat."""

import random
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias, cast

import grpc
import pytest

from tests.e2e.stack import WITHOUT_SETTINGS, command, free_port
from tests.server.rpc.test_flags import draft
from tests.server.wire.encodings import field
from tests.server.wire.test_fuzz import mutated
from tidegate.delivery import METHOD
from tidegate.v1 import event_service_pb2 as messages
from tidegate.v1 import flag_service_pb2, flag_service_pb2_grpc
from tidegate_server.supervisor.tether import tethered

MEGABYTE = 1 << 20
PAGE = 4_096
FREED_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Has glibc give every larger block back when it is freed. By itself it keeps some of them, in an
arena for each thread: tens of megabytes that come and go, which hide what the server keeps."""

ANSWERS = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
"""OK where no more than single entries are wrong."""


Call: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"


class Server:
    """A process, and calls to it."""

    def __init__(self, channel: grpc.Channel, pid: int) -> None:
        self._call: Call = channel.unary_unary(METHOD, None, None)
        self._pid = pid

    def status(
        self, request: bytes, compression: grpc.Compression | None = None
    ) -> grpc.StatusCode:
        """Send a request, and return how the call ended."""
        try:
            self._call(request, timeout=20, compression=compression)
        except grpc.RpcError as error:
            return cast("grpc.Call", error).code()
        return grpc.StatusCode.OK

    def memory(self) -> int:
        """Bytes that are resident."""
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * PAGE

    def peak(self) -> int:
        """Most bytes that ever were resident."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1_024

    def takes_a_batch(self) -> bool:
        answer: bytes = self._call(request(20), timeout=20)
        return messages.ReportEventsResponse.FromString(answer).accepted_count == 20


@pytest.fixture(scope="module")
def server(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **WITHOUT_SETTINGS,
        **FREED_AT_ONCE,
        "TIDEGATE_REDIS_URL": valkey_url,
        "TIDEGATE_ENVIRONMENT": f"limits-{secrets.token_hex(4)}",
        "TIDEGATE_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "TIDEGATE_LISTEN": address,
    }
    options = [("grpc.max_send_message_length", -1)]
    with (
        subprocess.Popen(tethered(tuple(command("server"))), env=environment) as process,
        grpc.insecure_channel(address, options=options) as channel,
    ):
        stub = flag_service_pb2_grpc.FlagServiceStub(channel)
        create = flag_service_pb2.CreateFlagRequest(flag=draft(v1=50, v2=50))
        stub.CreateFlag(create, wait_for_ready=True, timeout=30)
        yield Server(channel, process.pid)
        process.terminate()


def request(events: int) -> bytes:
    batch = messages.EventBatch(
        batch_id=secrets.token_bytes(16), base_time_ms=int(time.time() * 1_000)
    )
    batch.series.add(flag_key="chat-model", variant="v1", phase=1, outcome="latency_ms")
    batch.series_indexes.extend([0] * events)
    batch.unit_hashes.extend(range(events))
    batch.time_offsets_ms.extend(range(events))
    batch.values.extend([1.5] * events)
    batch.unit_ids.extend(f"user-{number}" for number in range(events))
    return messages.ReportEventsRequest(batch=batch).SerializeToString()


def test_damaged_requests_leave_the_server_as_it_was(server: Server) -> None:
    rng = random.Random(5)
    found = set()
    before = 0
    for number in range(1_000):
        if number == 200:
            before = server.memory()
        found.add(server.status(mutated(request(50), rng, rng.randrange(1, 6))))
    assert found == ANSWERS
    assert server.memory() - before < 4 * MEGABYTE
    assert server.takes_a_batch()


HUGE = {
    "one unit id": field(8, b"x" * 7_000_000),
    "a version id": field(2, field(5, b"x" * 7_000_000)),
    "a flag's key": field(9, field(1, b"x" * 7_000_000)),
    "tiny series": b"\x12\x00" * 3_500_000,
    "tiny counts": b"\x4a\x00" * 3_500_000,
    "tiny unit ids": b"\x42\x01u" * 2_300_000,
    "empty unit ids": b"\x42\x00" * 3_500_000,
    "tiny fields": b"\x58\x00" * 3_500_000,
    "single values": (b"\x39" + bytes(8)) * 700_000,
    "values": field(7, bytes(7_200_000)),
    "more than a message may have": bytes(9 * MEGABYTE),
}


@pytest.mark.parametrize("content", HUGE.values(), ids=HUGE)
def test_what_is_huge_is_refused_and_forgotten(server: Server, content: bytes) -> None:
    huge = field(1, field(1, bytes(16)) + content)
    over = len(huge) > 8 * MEGABYTE
    wanted = {grpc.StatusCode.RESOURCE_EXHAUSTED} if over else ANSWERS
    before = 0
    for number in range(6):
        if number == 2:
            before = server.memory()
        assert server.status(huge) in wanted
    assert server.memory() - before < 2 * len(huge)  # of four requests
    assert server.peak() < 300 * MEGABYTE
    assert server.takes_a_batch()


@pytest.mark.parametrize("algorithm", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_what_is_compressed_is_refused_before_it_is_inflated(
    server: Server, algorithm: grpc.Compression
) -> None:
    before = server.peak()
    bomb = bytes(200 * MEGABYTE)
    assert server.status(bomb, algorithm) is grpc.StatusCode.UNIMPLEMENTED
    assert server.peak() - before < 16 * MEGABYTE
    assert server.takes_a_batch()
