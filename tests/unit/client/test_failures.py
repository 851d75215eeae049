import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from modelmill.client.failures import error_of


def raised(code, *details, message="what the server said"):
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.append(any_pb2.Any())
        status.details[-1].Pack(detail)
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString())) if details else None
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata or grpc.aio.Metadata(), message)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "SERVER_UNAVAILABLE"),
        (grpc.StatusCode.UNIMPLEMENTED, "RPC_UNIMPLEMENTED"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "RPC_DEADLINE_EXCEEDED"),
        (grpc.StatusCode.UNKNOWN, "RPC_FAILED"),
    ],
)
def test_a_status_without_details_is_explained_by_its_code(code, reason):
    error = error_of(raised(code))
    assert error.reason == reason
    assert error.failure.details == {"code": code.name, "details": "what the server said"}


def test_a_status_that_was_cut_still_gives_reason_and_message():
    info = error_details_pb2.ErrorInfo(reason="STEP_EXITED", domain="modelmill", metadata={"exit_code": "3"})
    error = error_of(raised(grpc.StatusCode.FAILED_PRECONDITION, info))
    assert (error.reason, str(error)) == ("STEP_EXITED", "what the server said")
    assert error.failure.details == {"exit_code": "3"}


def test_somebody_elses_reason_is_not_taken_for_ours():
    info = error_details_pb2.ErrorInfo(reason="RATE_LIMITED", domain="proxy.example")
    assert error_of(raised(grpc.StatusCode.UNAVAILABLE, info)).reason == "SERVER_UNAVAILABLE"
