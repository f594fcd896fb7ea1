"""One table from errors to gRPC status codes, applied to every call by an interceptor."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
import structlog

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
                _answering(handler.unary_unary, method, self._calls),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                _answering(handler.unary_stream, method, self._calls),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return handler


def _answering(behaviour: Any, method: str, calls: CallsUnderWay) -> Any:
    async def answer(request: Any, context: Context) -> Any:
        calls.note(context)
        try:
            return await behaviour(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge: every error becomes a status
            failure = error
        del request  # see _abort
        return await _abort(context, failure, method)

    return answer


async def _abort(context: Context, error: Exception, method: str) -> NoReturn:
    """End a call with the status of an error.

    gRPC keeps what `abort` raises in a cycle, until the garbage collector comes. So that this does
    not keep the request too, megabytes perhaps, the frames that led here are let go.
    """
    code = next((code for kind, code in STATUS.items() if isinstance(error, kind)), None)
    if code is None:
        log.error("call_failed", method=method, exc_info=error)
    error.__traceback__ = error.__context__ = None
    if code is not None:
        await context.abort(code, str(error), _retry_after(error))
    await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has the cause")


def _retry_after(error: Exception) -> tuple[tuple[str, str], ...]:
    if not isinstance(error, Retriable) or error.retry_after is None:
        return ()
    seconds = error.retry_after * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter
    return ((RETRY_AFTER, str(round(1_000 * seconds))),)
