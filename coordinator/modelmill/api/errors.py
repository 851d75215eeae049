"""Failures as google.rpc.Status, so that every client in every language can act on the reason.

A status carries, in this order: ErrorInfo (the reason, domain "modelmill", the details as strings), where they
help PreconditionFailure or BadRequest, and modelmill.v1.Failure with everything. It travels in the trailing
metadata, of which gRPC takes 8 KiB by default: what does not fit is cut, the reason and the message never.
See https://google.aip.dev/193.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from modelmill import wire
from modelmill.errors import DOMAIN, Failure, Fault, ModelmillError

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_log = structlog.get_logger(__name__)

#: The key under which gRPC libraries look for a google.rpc.Status.
DETAILS_KEY = "grpc-status-details-bin"

#: Bytes of a serialised status. On the wire base64 makes 4 of 3; the message is sent a second time beside it,
#: where each byte that is not ASCII takes 3.
_STATUS_LIMIT = 4 << 10
_MESSAGE_LIMIT = 600
_LOG_LIMIT = 1500
_VIOLATIONS_LIMIT = 16
_DETAILS_LIMIT = 8
_KEY_LIMIT = 64
_VALUE_LIMIT = 200

_CODES: Mapping[str, grpc.StatusCode] = {
    "FILES_MISSING": grpc.StatusCode.FAILED_PRECONDITION,
    "DISK_FULL": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "DIGEST_MISMATCH": grpc.StatusCode.INVALID_ARGUMENT,
    "UPLOAD_OFFSET_MISMATCH": grpc.StatusCode.FAILED_PRECONDITION,
    "INTERNAL_ERROR": grpc.StatusCode.INTERNAL,
    "NO_TARGET": grpc.StatusCode.INVALID_ARGUMENT,
}
_CODES_BY_PREFIX = {"INVALID_": grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_": grpc.StatusCode.INVALID_ARGUMENT}
_CODES_BY_SUFFIX = {"_NOT_FOUND": grpc.StatusCode.NOT_FOUND, "_EXCEEDED": grpc.StatusCode.DEADLINE_EXCEEDED}
_CODES_BY_FAULT = {
    Fault.INPUT: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.TOOL: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.INFRASTRUCTURE: grpc.StatusCode.UNAVAILABLE,
    Fault.CANCELLATION: grpc.StatusCode.CANCELLED,
}


def code_of(failure: Failure) -> grpc.StatusCode:
    """The status code that tells a program what it may do about a failure."""
    if failure.reason in _CODES:
        return _CODES[failure.reason]
    for prefix, code in _CODES_BY_PREFIX.items():
        if failure.reason.startswith(prefix):
            return code
    for suffix, code in _CODES_BY_SUFFIX.items():
        if failure.reason.endswith(suffix):
            return code
    return _CODES_BY_FAULT[failure.fault]


def status_of(failure: Failure) -> status_pb2.Status:
    """A failure as a status that fits into gRPC's trailing metadata."""
    status = status_pb2.Status(code=code_of(failure).value[0], message=_cut(failure.message, _MESSAGE_LIMIT))
    for detail in (_error_info(failure), *_standard_details(failure), *_whole_failure(failure)):
        with_detail = status_pb2.Status()
        with_detail.CopyFrom(status)
        with_detail.details.add().Pack(detail)
        if with_detail.ByteSize() <= _STATUS_LIMIT:
            status = with_detail
    return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], failure: Failure) -> NoReturn:
    """Ends an RPC with a failure."""
    status = status_of(failure)
    await context.abort(code_of(failure), status.message, ((DETAILS_KEY, status.SerializeToString()),))


class FailureInterceptor(grpc.aio.ServerInterceptor):
    """Makes statuses of what modelmill's servicers raise, so that they may raise what they like.

    A ModelmillError goes to the client; any other exception is a mistake of ours: it is logged with its traceback,
    and the client is told INTERNAL_ERROR and nothing of what is inside.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler of the RPC, with its exceptions caught; that of other services, as it is."""
        found = await continuation(handler_call_details)
        if found is None or not str(handler_call_details.method).startswith("/modelmill."):
            return found
        handler: Any = found
        if handler.request_streaming and handler.response_streaming:
            return _with_behaviour(handler, grpc.stream_stream_rpc_method_handler, _streaming(handler.stream_stream))
        if handler.response_streaming:
            return _with_behaviour(handler, grpc.unary_stream_rpc_method_handler, _streaming(handler.unary_stream))
        if handler.request_streaming:
            return _with_behaviour(handler, grpc.stream_unary_rpc_method_handler, _answering(handler.stream_unary))
        return _with_behaviour(handler, grpc.unary_unary_rpc_method_handler, _answering(handler.unary_unary))


def _with_behaviour(handler: Any, kind: Callable[..., Handler], behaviour: Any) -> Handler:
    return kind(behaviour, handler.request_deserializer, handler.response_serializer)


def _answering(behaviour: Any) -> Any:
    @functools.wraps(behaviour)
    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await behaviour(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the border of the process: logged by _failure_of
            failure = _failure_of(error)
        return await abort(context, failure)

    return answer


def _streaming(behaviour: Any) -> Any:
    if not inspect.isasyncgenfunction(inspect.unwrap(behaviour)):
        return _answering(behaviour)

    @functools.wraps(behaviour)
    async def stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            async for response in behaviour(request, context):
                yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the border of the process: logged by _failure_of
            failure = _failure_of(error)
        else:
            return
        await abort(context, failure)

    return stream


def _failure_of(error: Exception) -> Failure:
    if isinstance(error, ModelmillError):
        return error.failure
    _log.error("rpc_failed", exc_info=error)
    return Failure(
        "INTERNAL_ERROR",
        "The coordinator met an error of its own; its log has the details. Please report it.",
        Fault.INFRASTRUCTURE,
    )


def _error_info(failure: Failure) -> Message:
    details = list(failure.details.items())[:_DETAILS_LIMIT]
    metadata = {_cut(key, _KEY_LIMIT): _cut(_text(value), _VALUE_LIMIT) for key, value in details}
    info: Message = error_details_pb2.ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=metadata)
    return info


def _standard_details(failure: Failure) -> list[Message]:
    if failure.reason == "FILES_MISSING":
        return [_missing_files(failure)]
    if code_of(failure) is grpc.StatusCode.INVALID_ARGUMENT:
        return [_bad_request(failure)]
    return []


def _missing_files(failure: Failure) -> Message:
    """The files that a client must upload first, named as in the Remote Execution API: blobs/<digest>/<size>."""
    files = failure.details.get("files", [])
    violation = error_details_pb2.PreconditionFailure.Violation
    violations = [
        violation(type="MISSING", subject=f"blobs/{file['digest']}/{file['size']}", description=_cut(file["path"], 80))
        for file in files[:_VIOLATIONS_LIMIT]
    ]
    precondition: Message = error_details_pb2.PreconditionFailure(violations=violations)
    return precondition


def _bad_request(failure: Failure) -> Message:
    field = str(failure.details.get("field") or failure.details.get("option") or "")
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=_cut(field, 80), description=_cut(failure.message, 400)
    )
    bad_request: Message = error_details_pb2.BadRequest(field_violations=[violation])
    return bad_request


def _whole_failure(failure: Failure) -> list[Message]:
    """The failure with all that it says; where that is too much, the first of these that fits is enough."""
    short = replace(
        failure, message=_cut(failure.message, _MESSAGE_LIMIT), log_tail=_tail(failure.log_tail, _LOG_LIMIT)
    )
    for candidate in (short, replace(short, details={}), replace(short, details={}, log_tail="")):
        message = wire.failure_message(candidate)
        if message.ByteSize() <= _STATUS_LIMIT // 2:
            return [message]
    return []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8 from the beginning."""
    data = text.encode()
    return text if len(data) <= limit else data[: limit - 3].decode(errors="ignore") + "..."


def _tail(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8 from the end."""
    data = text.encode()
    return text if len(data) <= limit else "..." + data[-(limit - 3) :].decode(errors="ignore")
