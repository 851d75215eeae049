"""protobuf's Struct to plain JSON values and back."""

from typing import Any, Dict

from google.protobuf import struct_pb2

from modelmill_worker import json_values


def to_json(struct: struct_pb2.Struct) -> Dict[str, Any]:
    """Plain values; a Struct knows doubles only, so whole ones become ints again."""
    return {key: _value(item) for key, item in struct.fields.items()}


def from_json(values: Dict[str, Any], where: str = "facts") -> struct_pb2.Struct:
    """A Struct. Raises StepError NOT_JSON for NaN, infinities, whole numbers beyond 2^53 and anything not JSON."""
    struct = struct_pb2.Struct()
    struct.update(json_values.checked(values, where))
    return struct


def _value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return to_json(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    if kind == "number_value":
        return _number(value.number_value)
    if kind in ("string_value", "bool_value"):
        return getattr(value, kind)
    return None


def _number(number: float) -> Any:
    return int(number) if number.is_integer() and abs(number) <= json_values.LARGEST_WHOLE else number
