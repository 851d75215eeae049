import pytest
from modelmill_freezer.inference.input_requests import InputRequest, parse_request
from modelmill_worker.errors import StepError


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("images", InputRequest("images:0")),
        ("images:1", InputRequest("images:1")),
        ("images=1,224,224,3", InputRequest("images:0", (1, 224, 224, 3))),
        ("a/b:2=-1,?,3:uint8", InputRequest("a/b:2", (-1, -1, 3), "uint8")),
        ("images:float32", InputRequest("images:0", None, "float32")),
        ("rate=:float32", InputRequest("rate:0", (), "float32")),
    ],
)
def test_reads_name_shape_and_type(text, request_):
    assert parse_request(text) == request_


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "INPUT_MALFORMED"),
        ("x=a", "INPUT_MALFORMED"),
        ("x=1,0", "INPUT_MALFORMED"),
        ("x=1,-2", "INPUT_MALFORMED"),
        ("x=1:float99", "DTYPE_UNKNOWN"),
        ("^x", "TENSOR_NAME_MALFORMED"),
    ],
)
def test_refuses_what_it_cannot_read(text, reason):
    with pytest.raises(StepError) as caught:
        parse_request(text)
    assert caught.value.reason == reason
