"""What a caller sees of each error, over the wire."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import pstdev
from typing import Any

import grpc
import pytest

from tidegate.delivery import RETRY_AFTER as READ_BY_THE_SDK
from tidegate_server import errors
from tidegate_server.rpc.calls import CallsUnderWay
from tidegate_server.rpc.errors import (
    MOST_DETAIL_BYTES,
    RETRY_AFTER,
    STATUS,
    Handler,
    StatusInterceptor,
    fitting,
)

METHOD = "/tidegate.test/Call"


@asynccontextmanager
async def raising(error: Exception) -> AsyncIterator[Any]:
    """Yield a method of a server that raises this."""

    async def call(request: bytes, context: Any) -> bytes:
        raise error

    server = grpc.aio.server(interceptors=[StatusInterceptor(CallsUnderWay())])
    handlers: dict[str, Handler] = {"Call": grpc.unary_unary_rpc_method_handler(call)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("tidegate.test", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel.unary_unary(METHOD)
    finally:
        await server.stop(None)


async def failure(method: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(b"")
    return caught.value


def retry_after(error: grpc.aio.AioRpcError) -> list[str | bytes]:
    return [value for key, value in error.trailing_metadata() if key == RETRY_AFTER]


def test_the_sdk_reads_what_the_server_writes() -> None:
    assert READ_BY_THE_SDK == RETRY_AFTER


def test_every_error_of_the_server_has_a_status() -> None:
    """But those that only end a program at its start, those of controllers, and bases."""
    named = (kind for kind in vars(errors).values() if isinstance(kind, type))
    kinds = {kind for kind in named if issubclass(kind, errors.TidegateServerError)}
    assert kinds - STATUS.keys() == {
        errors.TidegateServerError,
        errors.Retriable,
        errors.ConfigurationError,
        errors.FencedOff,
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.StoreFull("full", retry_after=1.0), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.ServerBusy("busy", retry_after=1.0), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.StoreUnavailable("away", retry_after=1.0), grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_a_retriable_error_says_when_to_come_back_but_not_all_at_once(
    error: errors.Retriable, status: grpc.StatusCode
) -> None:
    async with raising(error) as method:
        failures = [await failure(method) for _ in range(60)]
    assert {each.code() for each in failures} == {status}
    assert {each.details() for each in failures} == {str(error)}
    said = [value for each in failures for value in retry_after(each)]
    assert len(said) == 60
    assert all(isinstance(each, str) and re.fullmatch("[0-9]+", each) for each in said)
    delays = [int(each) for each in said]
    assert min(delays) >= 500
    assert max(delays) <= 1_500
    assert pstdev(delays) > 150  # 289 where uniform


async def test_where_nothing_is_known_nothing_is_said() -> None:
    async with raising(errors.StoreUnavailable("away")) as method:
        error = await failure(method)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_after(error) == []


async def test_a_final_error_does_not_ask_to_come_back() -> None:
    async with raising(errors.InvalidField("values[3]", "is not finite")) as method:
        error = await failure(method)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "values[3]: is not finite"
    assert retry_after(error) == []


async def test_a_defect_is_not_told_to_the_caller() -> None:
    async with raising(KeyError("secret")) as method:
        error = await failure(method)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(error.details())


@pytest.mark.parametrize("text", ["short", "x" * MOST_DETAIL_BYTES, "ü" * (MOST_DETAIL_BYTES // 6)])
def test_what_can_be_sent_is_sent_whole(text: str) -> None:
    assert fitting(text) == text


@pytest.mark.parametrize("letter", ["x", "%", "ü", "\N{GRINNING FACE}"])
async def test_what_is_too_long_is_cut_and_arrives(letter: str) -> None:
    async with raising(errors.NotFound(letter * 10_000)) as method:
        error = await failure(method)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    kept, ellipsis, rest = (error.details() or "").partition(" …")
    assert (ellipsis, rest) == (" …", "")
    assert set(kept) == {letter}
    assert len(kept) >= 400
