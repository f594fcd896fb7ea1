"""One table from errors to gRPC status codes, applied to every call by an interceptor."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import cache
from time import perf_counter
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
import structlog
from prometheus_client import Counter, Histogram

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
from tidegate_server.signals.metrics import REQUEST_SECONDS, REQUESTS

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

JITTER = 0.5
"""A delay is uniform within this share of itself, so that clients do not come back together."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Request = TypeVar("Request")
Response = TypeVar("Response")


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call that raised with the status of its error; what is unknown is logged: INTERNAL.

    Notes each call in `calls`.
    """

    def __init__(self, calls: CallsUnderWay) -> None:
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Request, Response] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Request, Response] | None:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/tidegate."):
            return handler  # health and reflection speak for themselves
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                _answering(handler.unary_unary, method, self._calls, timed=True),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                _answering(handler.unary_stream, method, self._calls, timed=False),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return handler


def _answering(behaviour: Any, method: str, calls: CallsUnderWay, *, timed: bool) -> Any:
    name = method.removeprefix("/tidegate.v1.")

    async def answer(request: Any, context: Context) -> Any:
        calls.note(context)
        code = grpc.StatusCode.CANCELLED  # unless it comes to another end
        began = perf_counter()
        try:
            response = await behaviour(request, context)
            code = grpc.StatusCode.OK
        except Exception as error:  # noqa: BLE001 - the edge: every error becomes a status
            failure, code = error, _status_of(error)
        else:
            return response
        finally:
            if timed:
                _seconds(name).observe(perf_counter() - began)
            _requests(name, code).inc()
        del request  # see _abort
        return await _abort(context, failure, code, method)

    return answer


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
    context: Context, error: Exception, code: grpc.StatusCode, method: str
) -> NoReturn:
    """End a call with the status of an error.

    gRPC keeps what `abort` raises in a cycle, until the garbage collector comes. So that this does
    not keep the request too, megabytes perhaps, the frames that led here are let go.
    """
    if code is grpc.StatusCode.INTERNAL:
        log.error("call_failed", method=method, exc_info=error)
    error.__traceback__ = error.__context__ = None
    if code is not grpc.StatusCode.INTERNAL:
        await context.abort(code, str(error), _retry_after(error))
    await context.abort(code, "internal error; the server's log has the cause")


def _retry_after(error: Exception) -> tuple[tuple[str, str], ...]:
    if not isinstance(error, Retriable) or error.retry_after is None:
        return ()
    seconds = error.retry_after * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter
    return ((RETRY_AFTER, str(round(1_000 * seconds))),)
