"""What gRPC raises, as the error of the farm that it stands for."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from modelmill_protos.v1 import failure_pb2

from modelmill import wire
from modelmill.errors import DOMAIN, Failure, Fault, ModelmillError

_DETAILS_KEY = "grpc-status-details-bin"

_BY_CODE = {
    grpc.StatusCode.UNAVAILABLE: (
        "SERVER_UNAVAILABLE",
        "The server cannot be reached. Check its address and that it runs.",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("RPC_DEADLINE_EXCEEDED", "The server did not answer in time. Try again."),
    grpc.StatusCode.UNIMPLEMENTED: (
        "RPC_UNIMPLEMENTED",
        "The server does not know this request: it is another version of modelmill, or no modelmill at all.",
    ),
    grpc.StatusCode.CANCELLED: ("RPC_CANCELLED", "The request was cancelled."),
}
#: What grpc.aio says where it could not send a message and has not heard the status yet: the connection is gone.
_SENDING_FAILED = "Internal error from Core"
_OTHERWISE = ("RPC_FAILED", "The request failed in a way that the server does not explain.")


def error_of(call: grpc.aio.AioRpcError) -> ModelmillError:
    """The farm's own error where it sent one; otherwise one that says what the connection's state means."""
    failure = _sent_failure(call)
    if failure is None:
        code = grpc.StatusCode.UNAVAILABLE if call.details() == _SENDING_FAILED else call.code()
        reason, message = _BY_CODE.get(code, _OTHERWISE)
        details = {"code": call.code().name, "details": call.details() or ""}
        failure = Failure(reason, message, Fault.INFRASTRUCTURE, details)
    return ModelmillError.of(failure)


def _sent_failure(call: grpc.aio.AioRpcError) -> Failure | None:
    """What the status carries: all of the failure, or at least its reason (`modelmill.api.errors` says when)."""
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            return _whole_failure(status) or _reason_only(status)
    return None


def _whole_failure(status: status_pb2.Status) -> Failure | None:
    message = failure_pb2.Failure()
    for detail in status.details:
        if detail.Unpack(message):
            return wire.failure_of(message)
    return None


def _reason_only(status: status_pb2.Status) -> Failure | None:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            return Failure(info.reason, status.message, details=dict(info.metadata))
    return None
