"""Options of plug-ins for people, from their JSON Schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct

from modelmill.wire import value_of


def describe_options(schema: Struct, indent: str) -> str:
    """A line for each option: its name, type or choices, default and what it is for."""
    properties = value_of(schema).get("properties", {})
    return "\n".join(f"{indent}{name} ({_values(option)}): {_purpose(option)}" for name, option in properties.items())


def _values(option: Mapping[str, Any]) -> str:
    kind = option.get("type", "any")
    values = " | ".join(map(str, option["enum"])) if option.get("enum") else _type(kind)
    default = json.dumps(option["default"]) if "default" in option else "none"
    return f"{values}; default {default}"


def _type(kind: Any) -> str:
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _purpose(option: Mapping[str, Any]) -> str:
    return str(option.get("description", ""))
