"""One table from errors to gRPC status codes, applied to every call by an interceptor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import grpc
import structlog

from tidegate.errors import WireError
from tidegate_server.errors import (
    AlreadyExists,
    InUse,
    InvalidField,
    NotFound,
    RevisionConflict,
    StoreFull,
    StoreUnavailable,
)

log = structlog.get_logger(__name__)

STATUS: dict[type[Exception], grpc.StatusCode] = {
    InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
    WireError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    InUse: grpc.StatusCode.FAILED_PRECONDITION,
    RevisionConflict: grpc.StatusCode.ABORTED,
    StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    StoreFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Request = TypeVar("Request")
Response = TypeVar("Response")


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call that raised with the status of its error; what is unknown is logged: INTERNAL."""

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
                _answering(handler.unary_unary, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                _streaming(handler.unary_stream, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return handler


def _answering(behaviour: Any, method: str) -> Any:
    async def answer(request: Any, context: Context) -> Any:
        try:
            return await behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - the edge: every error becomes a status
            await _abort(context, error, method)

    return answer


def _streaming(behaviour: Any, method: str) -> Any:
    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for response in behaviour(request, context):
                yield response
        except Exception as error:  # noqa: BLE001 - the edge: every error becomes a status
            await _abort(context, error, method)

    return stream


async def _abort(context: Context, error: Exception, method: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    code = next((code for kind, code in STATUS.items() if isinstance(error, kind)), None)
    if code is not None:
        await context.abort(code, str(error))
    log.error("call_failed", method=method, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has the cause")
