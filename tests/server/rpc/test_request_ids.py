"""The id of a call, from the client's metadata to the log lines and the message of a defect."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tidegate.channel import REQUEST_ID
from tidegate_server.errors import InvalidField, StoreUnavailable
from tidegate_server.rpc.calls import CallsUnderWay
from tidegate_server.rpc.errors import Handler, StatusInterceptor
from tidegate_server.rpc.request_ids import request_id_of
from tidegate_server.signals.line_limit import MOST_LINES
from tidegate_server.signals.tracing import Tracing

ERRORS: dict[bytes, Exception] = {
    b"store": StoreUnavailable("away"),
    b"input": InvalidField("values[3]", "is not finite"),
    b"defect": KeyError("secret"),
}

log = structlog.get_logger(__name__)


@asynccontextmanager
async def server(tracing: Tracing | None = None) -> AsyncIterator[Any]:
    """Yield a method that logs a line, and raises what the request asks for."""

    async def call(request: bytes, context: Any) -> bytes:
        log.info("at_work", request=request)
        if request in ERRORS:
            raise ERRORS[request]
        return b""

    running = grpc.aio.server(interceptors=[StatusInterceptor(CallsUnderWay(), tracing)])
    handlers: dict[str, Handler] = {"Call": grpc.unary_unary_rpc_method_handler(call)}
    running.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("tidegate.test", handlers),)
    )
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel.unary_unary("/tidegate.test/Call")
    finally:
        await running.stop(None)


@pytest.mark.parametrize(
    ("request_", "event", "level", "fields"),
    [
        (b"store", "call_refused", "warning", {"code": "UNAVAILABLE", "cause": "away"}),
        (
            b"input",
            "call_refused",
            "info",
            {"code": "INVALID_ARGUMENT", "cause": "values[3]: is not finite"},
        ),
        (b"defect", "call_failed", "error", {"code": "INTERNAL", "exc_info": ERRORS[b"defect"]}),
    ],
)
async def test_all_lines_of_a_call_have_its_id(
    request_: bytes, event: str, level: str, fields: dict[str, Any]
) -> None:
    with capture_logs([merge_contextvars]) as lines:
        async with server() as method:
            await method(b"", metadata=((REQUEST_ID, "before"),))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(request_, metadata=((REQUEST_ID, "id-1"),))
    assert [(line["event"], line["request_id"]) for line in lines] == [
        ("at_work", "before"),
        ("at_work", "id-1"),
        (event, "id-1"),
    ]
    assert lines[2]["log_level"] == level
    for name, value in fields.items():
        assert lines[2][name] == value
    assert ("id-1" in str(caught.value.details())) is (request_ == b"defect")


async def test_a_call_without_an_id_gets_one_that_a_user_can_quote() -> None:
    with capture_logs([merge_contextvars]) as lines:
        async with server() as method:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(b"defect")
    found = re.search("request_id ([0-9a-f]{16})$", str(caught.value.details()))
    assert found is not None
    assert {line["request_id"] for line in lines} == {found[1]}


async def test_many_failures_are_few_lines() -> None:
    with capture_logs() as lines:
        async with server() as method:
            for _ in range(10 * MOST_LINES):
                with pytest.raises(grpc.aio.AioRpcError):
                    await method(b"store")
    refused = [line for line in lines if line["event"] == "call_refused"]
    assert MOST_LINES <= len(refused) < 10 * MOST_LINES


@pytest.mark.parametrize("sent", ["0193a0", "a" * 128, "A/b+c=:._-"])
def test_a_clients_id_is_taken(sent: str) -> None:
    assert request_id_of([("user-agent", "x"), (REQUEST_ID, sent)]) == sent


@pytest.mark.parametrize("sent", ["", "a" * 129, "two words", "line\nbreak", "ü", b"bytes"])
def test_what_is_no_id_is_replaced(sent: str | bytes) -> None:
    assert re.fullmatch("[0-9a-f]{16}", request_id_of([(REQUEST_ID, sent)]))
    assert request_id_of([]) != request_id_of([])
