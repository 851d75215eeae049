import pytest
from modelmill_worker.protobuf_wire import (
    LENGTH_DELIMITED,
    VARINT,
    Field,
    MalformedMessageError,
    TruncatedMessageError,
    read_fields,
    read_varint,
)


def fields(data: bytes):
    return list(read_fields(data, 0, len(data)))


def test_reads_numbers_and_texts_with_where_they_lie():
    assert fields(b"\x08\x96\x01\x12\x02hi") == [Field(1, VARINT, 1, 3), Field(2, LENGTH_DELIMITED, 5, 7)]


def test_reads_a_number_of_several_bytes():
    assert read_varint(b"\x96\x01", 0, 2) == (150, 2)


@pytest.mark.parametrize("data", [b"\x12\x05hi", b"\x08\x96", b"\x0d\x00"])
def test_says_where_a_message_ends_too_early(data):
    with pytest.raises(TruncatedMessageError):
        fields(data)


@pytest.mark.parametrize("data", [b"\x00\x00", b"\x0b\x00", b"\x08" + b"\xff" * 10 + b"\x01"])
def test_refuses_what_is_no_message(data):
    with pytest.raises(MalformedMessageError) as caught:
        fields(data)
    assert not isinstance(caught.value, TruncatedMessageError)
