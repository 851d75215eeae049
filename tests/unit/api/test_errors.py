import functools

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from modelmill.api import errors
from modelmill.errors import Failure, Fault, ModelmillError
from modelmill_protos.v1 import conversion_pb2, conversion_pb2_grpc, failure_pb2

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("reason", "fault", "code"),
    [
        ("CONVERSION_NOT_FOUND", Fault.INPUT, Code.NOT_FOUND),
        ("INVALID_OPTION", Fault.INPUT, Code.INVALID_ARGUMENT),
        ("UNKNOWN_TARGET", Fault.INPUT, Code.INVALID_ARGUMENT),
        ("FILES_MISSING", Fault.INPUT, Code.FAILED_PRECONDITION),
        ("DISK_FULL", Fault.INFRASTRUCTURE, Code.RESOURCE_EXHAUSTED),
        ("STEP_DEADLINE_EXCEEDED", Fault.TOOL, Code.DEADLINE_EXCEEDED),
        ("STEP_SIGNALLED", Fault.TOOL, Code.FAILED_PRECONDITION),
        ("WORKER_LOST", Fault.INFRASTRUCTURE, Code.UNAVAILABLE),
        ("STEP_CANCELLED", Fault.CANCELLATION, Code.CANCELLED),
    ],
)
def test_the_code_tells_what_a_program_may_do(reason, fault, code):
    assert errors.code_of(Failure(reason, "", fault)) is code


def unpacked(status, kind):
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            return message
    return None


def test_missing_files_are_named_as_the_remote_execution_api_names_them():
    failure = Failure(
        "FILES_MISSING", "Upload them.", details={"files": [{"path": "graph.pb", "digest": "ab" * 32, "size": 12}]}
    )
    precondition = unpacked(errors.status_of(failure), error_details_pb2.PreconditionFailure)
    assert [(item.type, item.subject, item.description) for item in precondition.violations] == [
        ("MISSING", f"blobs/{'ab' * 32}/12", "graph.pb")
    ]


def test_an_option_that_does_not_fit_is_named_as_a_field():
    failure = Failure("INVALID_OPTION", "Give a number.", details={"option": "tolerance", "value": "x"})
    violations = unpacked(errors.status_of(failure), error_details_pb2.BadRequest).field_violations
    assert [(item.field, item.description) for item in violations] == [("tolerance", "Give a number.")]


def test_a_status_carries_the_whole_failure():
    failure = Failure("STEP_EXITED", "It ended.", Fault.TOOL, {"exit_code": 3, "names": ["a", "b"]}, "the log\n")
    status = errors.status_of(failure)
    whole = unpacked(status, failure_pb2.Failure)
    assert (whole.reason, whole.message, whole.log_tail) == ("STEP_EXITED", "It ended.", "the log\n")
    assert whole.fault == failure_pb2.Failure.TOOL
    assert list(whole.details["names"]) == ["a", "b"]
    assert unpacked(status, error_details_pb2.ErrorInfo).metadata == {"exit_code": "3", "names": '["a", "b"]'}


class Servicer(conversion_pb2_grpc.ConversionServiceServicer):
    def __init__(self, error):
        self.error = error

    async def GetConversion(self, request, context):  # noqa: N802
        raise self.error

    async def WatchConversion(self, request, context):  # noqa: N802
        yield conversion_pb2.Event(sequence=1)
        raise self.error


@pytest.fixture
async def call():
    """Calls a servicer whose methods raise the error given; gives what the client sees."""
    servers = []

    async def call(error, method="GetConversion"):
        server = grpc.aio.server(interceptors=[errors.FailureInterceptor()])
        servers.append(server)
        conversion_pb2_grpc.add_ConversionServiceServicer_to_server(Servicer(error), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = conversion_pb2_grpc.ConversionServiceStub(channel)
            answer = stub.GetConversion if method == "GetConversion" else functools.partial(watch, stub)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await answer(conversion_pb2.GetConversionRequest(id="x"))
            return caught.value

    async def watch(stub, request):
        return [event async for event in stub.WatchConversion(conversion_pb2.WatchConversionRequest(id=request.id))]

    yield call
    for server in servers:
        await server.stop(None)


@pytest.mark.parametrize("method", ["GetConversion", "WatchConversion"])
async def test_a_failure_reaches_the_client_as_a_status(call, method):
    error = await call(ModelmillError("CONVERSION_NOT_FOUND", "There is no conversion x.", {"id": "x"}), method)
    assert error.code() is Code.NOT_FOUND
    assert error.details() == "There is no conversion x."
    assert unpacked(rpc_status.from_call(error), error_details_pb2.ErrorInfo).reason == "CONVERSION_NOT_FOUND"


@pytest.mark.parametrize("method", ["GetConversion", "WatchConversion"])
async def test_a_mistake_of_ours_is_logged_and_not_sent(call, method, capsys):
    error = await call(KeyError("a secret of the inside"), method)
    assert error.code() is Code.INTERNAL
    status = rpc_status.from_call(error)
    assert unpacked(status, error_details_pb2.ErrorInfo).reason == "INTERNAL_ERROR"
    assert b"secret" not in status.SerializeToString()
    assert "a secret of the inside" in capsys.readouterr().out


@pytest.mark.parametrize(
    "failure",
    [
        ModelmillError("STEP_EXITED", "m" * 9000, {"k": "v" * 90_000}, Fault.TOOL, "l" * 90_000),
        ModelmillError(
            "STEP_EXITED", "ß" * 9000, {str(number): "ü" * 500 for number in range(99)}, Fault.TOOL, "ö" * 9
        ),
        ModelmillError("INVALID_OPTION", "x" * 900, {"option": "o" * 9000, "value": list(range(9000))}),
        ModelmillError(
            "FILES_MISSING",
            "Upload them.",
            {"files": [{"path": f"a/{number}" * 30, "digest": "ab" * 32, "size": number} for number in range(5000)]},
        ),
    ],
    ids=lambda failure: failure.reason,
)
async def test_however_much_a_failure_says_its_reason_arrives(call, failure):
    error = await call(failure)
    status = rpc_status.from_call(error)
    assert unpacked(status, error_details_pb2.ErrorInfo).reason == failure.reason
    assert error.details()[:4] == str(failure)[:4]
