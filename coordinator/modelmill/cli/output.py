"""JSON on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click
from google.protobuf import json_format
from google.protobuf.message import Message


def plain(message: Message) -> Any:
    """A message as JSON values, with the names of the .proto files; 64-bit integers are strings, as protobuf has it."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def print_json(value: Any) -> None:
    """One JSON document."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_messages(name: str, messages: Iterable[Message]) -> None:
    """A list of messages under a name."""
    print_json({name: [plain(message) for message in messages]})
