"""Failures of calls, from real servers that misbehave."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from tidegate.v1 import flag_service_pb2
from tidegate_server.cli import connection
from tidegate_server.cli.connection import CallRefused, ServerUnreachable, channel_options, connect
from tidegate_server.errors import ConfigurationError


@contextmanager
def serving(code: grpc.StatusCode | None = None, details: str = "") -> Iterator[str]:
    """Run a server that ends ListFlags with this status; without one, it has no services."""

    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        assert code is not None
        context.abort(code, details)

    server = grpc.server(ThreadPoolExecutor(1))
    if code is not None:
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(refuse)
        service = grpc.method_handlers_generic_handler(
            "tidegate.v1.FlagService", {"ListFlags": method}
        )
        server.add_generic_rpc_handlers([service])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def list_flags(address: str) -> None:
    with connect(address) as stubs:
        stubs.flags.ListFlags(flag_service_pb2.ListFlagsRequest(), timeout=5)


def test_what_a_living_server_says_is_passed_on() -> None:
    problem = "the store cannot be reached: try again"
    with (
        serving(grpc.StatusCode.UNAVAILABLE, problem) as address,
        pytest.raises(CallRefused) as failure,
    ):
        list_flags(address)
    assert str(failure.value) == "the store cannot be reached: try again"
    assert failure.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_status_without_text_is_named() -> None:
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    with serving(code) as address, pytest.raises(CallRefused, match=r"^RESOURCE_EXHAUSTED$"):
        list_flags(address)


def test_a_server_that_is_gone_is_unreachable() -> None:
    with serving() as address:
        pass
    with pytest.raises(ServerUnreachable, match=f"cannot reach a Tidegate server at {address}: is"):
        list_flags(address)


def test_another_server_is_recognised() -> None:
    with serving() as address, pytest.raises(CallRefused) as failure:
        list_flags(address)
    assert str(failure.value).startswith(
        f"what answers at {address} is not a Tidegate server, or an older one: "
    )


def test_a_slow_server_is_named() -> None:
    code = grpc.StatusCode.DEADLINE_EXCEEDED
    with serving(code) as address, pytest.raises(ServerUnreachable, match="did not answer within"):
        list_flags(address)


def test_other_errors_of_grpc_keep_their_text() -> None:
    assert connection.status_of(grpc.RpcError("odd")) == (grpc.StatusCode.UNKNOWN, "odd")


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("localhost:7070", [("grpc.enable_http_proxy", 0)]),
        ("[::1]:7070", [("grpc.enable_http_proxy", 0)]),
        ("flags.example:7070", []),
    ],
)
def test_a_proxy_is_not_asked_for_this_machine(
    address: str, options: list[tuple[str, int]]
) -> None:
    assert channel_options(address) == options


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'x:y' has the port 'y'"):
        list_flags("x:y")
