"""One table from errors to gRPC status codes, applied to every call by an interceptor."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import cache
from time import perf_counter
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
import structlog
from prometheus_client import Counter, Histogram
from structlog.contextvars import bind_contextvars, get_contextvars

from tidegate.errors import WireError
from tidegate_server.errors import (
    AlreadyExists,
    InUse,
    InvalidField,
    InvalidFields,
    NotFound,
    Refused,
    Retriable,
    RevisionConflict,
    ServerBusy,
    StoreFull,
    StoreUnavailable,
    VersionConflict,
)
from tidegate_server.rpc.calls import CallsUnderWay
from tidegate_server.rpc.request_ids import request_id_of
from tidegate_server.signals.line_limit import LineLimit
from tidegate_server.signals.metrics import REQUEST_SECONDS, REQUESTS
from tidegate_server.signals.tracing import Tracing

log = structlog.get_logger(__name__)

STATUS: dict[type[Exception], grpc.StatusCode] = {
    InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
    InvalidFields: grpc.StatusCode.INVALID_ARGUMENT,
    WireError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    InUse: grpc.StatusCode.FAILED_PRECONDITION,
    Refused: grpc.StatusCode.FAILED_PRECONDITION,
    RevisionConflict: grpc.StatusCode.ABORTED,
    VersionConflict: grpc.StatusCode.ABORTED,
    StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    StoreFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ServerBusy: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

RETRY_AFTER = "retry-after-ms"
"""Trailing metadata: how long to wait before the call is repeated, in decimal milliseconds."""

MOST_DETAIL_BYTES = 6_000
"""Most bytes of a status's details. Clients refuse more than 8 KiB of metadata in all."""

JITTER = 0.5
"""A delay is uniform within this share of itself, so that clients do not come back together."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Request = TypeVar("Request")
Response = TypeVar("Response")


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call that raised with the status of its error; what is unknown is INTERNAL.

    Notes each call in `calls` and in the metrics, and those that failed in the log; gives all log
    lines of a call its id.
    """

    def __init__(self, calls: CallsUnderWay, tracing: Tracing | None = None) -> None:
        self._calls = calls
        self._tracing = tracing
        self._lines = LineLimit()
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Request, Response] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Request, Response] | None:
        """Return the wrapped handler of a call's method, and give the call its id."""
        method = handler_call_details.method
        if not method.startswith("/tidegate."):
            return await continuation(
                handler_call_details
            )  # health and reflection speak for themselves
        metadata = handler_call_details.invocation_metadata or ()
        bind_contextvars(request_id=request_id_of(metadata))  # for the call's own task
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            self._wrapped[method] = self._wrap(handler, method)
        return self._wrapped[method]

    def _wrap(self, handler: Handler, method: str) -> Handler:
        serializers = handler.request_deserializer, handler.response_serializer
        if handler.unary_unary:
            answer = self._answering(handler.unary_unary, method, unary=True)
            return grpc.unary_unary_rpc_method_handler(answer, *serializers)
        answer = self._answering(handler.unary_stream, method, unary=False)
        return grpc.unary_stream_rpc_method_handler(answer, *serializers)

    def _answering(self, behaviour: Any, method: str, *, unary: bool) -> Any:
        name = method.removeprefix("/tidegate.v1.")
        tracing = self._tracing if unary else None  # a stream lasts too long to be a span

        async def answer(request: Any, context: Context) -> Any:
            self._calls.note(context)
            metadata = context.invocation_metadata() or () if tracing else ()
            with tracing.span(method, metadata) if tracing else nullcontext():
                code = grpc.StatusCode.CANCELLED  # unless it comes to another end
                failure: Exception | None = None
                began = perf_counter()
                try:
                    response = await behaviour(request, context)
                    code = grpc.StatusCode.OK
                except Exception as error:  # noqa: BLE001 - the edge: every error becomes a status
                    failure, code = error, _status_of(error)
                else:
                    return response
                finally:
                    if unary:
                        _seconds(name).observe(perf_counter() - began)
                    _requests(name, code).inc()
                    if tracing:
                        tracing.note_end(code.name, failure)
                del request  # see _abort
                self._log(name, code, failure)
                return await _abort(context, failure, code, get_contextvars()["request_id"])

        return answer

    def _log(self, method: str, code: grpc.StatusCode, error: Exception) -> None:
        """Write the line of a call that failed: what caused it, or where a defect is."""
        left_out = self._lines.left_out(code.name)
        if left_out is None:
            return
        line = log.bind(method=method, code=code.name)
        if left_out:
            line = line.bind(left_out=left_out)
        if code is grpc.StatusCode.INTERNAL:
            line.error("call_failed", exc_info=error)
        elif isinstance(error, Retriable):
            line.warning("call_refused", cause=str(error))
        else:
            line.info("call_refused", cause=str(error))


@cache  # of a few methods; to look a metric's labels up takes a microsecond
def _seconds(method: str) -> Histogram:
    return REQUEST_SECONDS.labels(method)


@cache
def _requests(method: str, code: grpc.StatusCode) -> Counter:
    return REQUESTS.labels(method, code.name)


def _status_of(error: Exception) -> grpc.StatusCode:
    found = (code for kind, code in STATUS.items() if isinstance(error, kind))
    return next(found, grpc.StatusCode.INTERNAL)


async def _abort(
    context: Context, error: Exception, code: grpc.StatusCode, request_id: str
) -> NoReturn:
    """End a call with the status of an error.

    gRPC keeps what `abort` raises in a cycle, until the garbage collector comes. So that this does
    not keep the request too, megabytes perhaps, the frames that led here are let go.
    """
    error.__traceback__ = error.__context__ = None
    if code is grpc.StatusCode.INTERNAL:
        await context.abort(
            code, f"internal error; the server's log has the cause, with request_id {request_id}"
        )
    await context.abort(code, fitting(str(error)), _retry_after(error))


def fitting(details: str) -> str:
    """Return a status's details, cut at a line if they are too long to be sent."""
    if _sent_bytes(details) <= MOST_DETAIL_BYTES:
        return details
    kept = details[:MOST_DETAIL_BYTES]
    while (size := _sent_bytes(kept)) > MOST_DETAIL_BYTES:
        kept = kept[: len(kept) * MOST_DETAIL_BYTES // size]
    lines, newline, _ = kept.rpartition("\n")
    if not newline:
        return f"{kept} …"
    return f"{lines}\nand {details.count(newline) - lines.count(newline):,} more"


def _sent_bytes(text: str) -> int:
    """Return how long a text is as gRPC sends it: what is not printable ASCII is written %XX."""
    return sum(1 if 0x20 <= byte < 0x7F and byte != 0x25 else 3 for byte in text.encode())


def _retry_after(error: Exception) -> tuple[tuple[str, str], ...]:
    if not isinstance(error, Retriable) or error.retry_after is None:
        return ()
    seconds = error.retry_after * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter
    return ((RETRY_AFTER, str(round(1_000 * seconds))),)
