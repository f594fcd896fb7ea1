"""The command line's way to a server: gRPC stubs, and its failures in plain words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc
from grpc_health.v1 import health_pb2_grpc

from tidegate.v1 import (
    assignment_service_pb2_grpc,
    experiment_service_pb2_grpc,
    flag_service_pb2_grpc,
    replica_service_pb2_grpc,
    report_service_pb2_grpc,
    segment_service_pb2_grpc,
)
from tidegate_server.errors import ConfigurationError, TidegateServerError
from tidegate_server.settings import parse_address

P = TypeVar("P", bound="Page")

PAGE_SIZE = 1_000
"""How much of a list is asked for at once."""

CALL_SECONDS = 15.0
"""How long one call may take."""

_PROBE_SECONDS = 0.5
_ANY_SIZE = ("grpc.max_receive_message_length", -1)  # a page of segments can be large
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ServerUnreachable(TidegateServerError):  # noqa: N818 - a state, as the server's own errors
    """No server answers at the address; the message says what to do."""


class CallRefused(TidegateServerError):  # noqa: N818
    """The server answered with an error; the message is the server's.

    code: why, so that callers can tell what is not there from what is wrong.
    """

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Stubs:
    """The services the command line uses."""

    flags: flag_service_pb2_grpc.FlagServiceStub
    segments: segment_service_pb2_grpc.SegmentServiceStub
    assignments: assignment_service_pb2_grpc.AssignmentServiceStub
    reports: report_service_pb2_grpc.ReportServiceStub
    experiments: experiment_service_pb2_grpc.ExperimentServiceStub
    replicas: replica_service_pb2_grpc.ReplicaServiceStub
    health: health_pb2_grpc.HealthStub


@contextmanager
def connect(address: str) -> Iterator[Stubs]:
    """Open a channel to `address` (host:port) for the block; failures of calls are translated.

    Raises:
        ConfigurationError: the address is none.
        ServerUnreachable: no server answers there.
        CallRefused: the server refused a call.
    """
    options = [*channel_options(address), _ANY_SIZE]
    with grpc.insecure_channel(address, options=options) as channel:
        try:
            yield Stubs(
                flag_service_pb2_grpc.FlagServiceStub(channel),
                segment_service_pb2_grpc.SegmentServiceStub(channel),
                assignment_service_pb2_grpc.AssignmentServiceStub(channel),
                report_service_pb2_grpc.ReportServiceStub(channel),
                experiment_service_pb2_grpc.ExperimentServiceStub(channel),
                replica_service_pb2_grpc.ReplicaServiceStub(channel),
                health_pb2_grpc.HealthStub(channel),
            )
        except grpc.RpcError as error:
            raise _explain(error, channel, address) from error


class Page(Protocol):
    """One answer of a list."""

    @property
    def next_page_token(self) -> str:
        """Where the next page begins; empty after the last."""
        ...


def all_pages(ask: Callable[[str], P]) -> Iterator[P]:
    """Yield every page of a list, which `ask` gives for a page token."""
    token = ""
    while True:
        page = ask(token)
        yield page
        token = page.next_page_token
        if not token:
            return


def channel_options(address: str) -> list[tuple[str, int]]:
    """Return the options of a channel to `address`: a proxy is never asked for this machine.

    Raises:
        ConfigurationError: the address is none.
    """
    try:
        host, _ = parse_address(address)
    except ValueError as error:
        raise ConfigurationError(
            f"--server (TIDEGATE_SERVER): {address!r} {error}; "
            "give the server's host:port, such as localhost:7070"
        ) from None
    return [("grpc.enable_http_proxy", 0)] if host in _LOOPBACK else []


def _explain(error: grpc.RpcError, channel: grpc.Channel, address: str) -> TidegateServerError:
    code, details = status_of(error)
    if code is grpc.StatusCode.UNAVAILABLE and not _answers(channel):
        return ServerUnreachable(
            f"cannot reach a Tidegate server at {address}: is `tidegate up` running? "
            "Give another address with --server HOST:PORT or TIDEGATE_SERVER"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServerUnreachable(
            f"the server at {address} did not answer within {CALL_SECONDS:.0f} s: try again, "
            "and look at its log if that does not help"
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return CallRefused(
            f"what answers at {address} is not a Tidegate server, or an older one: {details}; "
            "give another address with --server HOST:PORT",
            code,
        )
    return CallRefused(details or code.name, code)


def status_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Return the status code and the text of a failed call."""
    if isinstance(error, grpc.Call):
        return error.code() or grpc.StatusCode.UNKNOWN, error.details() or ""
    return grpc.StatusCode.UNKNOWN, str(error)


def _answers(channel: grpc.Channel) -> bool:
    """Return whether somebody is at the other end: then it was the server who said UNAVAILABLE."""
    try:
        grpc.channel_ready_future(channel).result(timeout=_PROBE_SECONDS)
    except grpc.FutureTimeoutError:
        return False
    return True
