"""Ask for a conversion that must fail, and see that the output folder is as it was."""

import re
from pathlib import Path
from typing import Any

from google.protobuf.struct_pb2 import Struct
from modelmill.client import Client, conversion_pb2
from modelmill.errors import ModelmillError
from modelmill_protos.v1 import failure_pb2


def specification(*targets: str, **plugin_options: dict[str, Any]) -> conversion_pb2.ConversionSpec:
    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name=name) for name in targets])
    for plugin, options in plugin_options.items():
        spec.plugin_options[plugin].CopyFrom(struct(options))
    return spec


def struct(values: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(values)
    return made


def fails(client: Client, source: Any, spec: conversion_pb2.ConversionSpec, folder: Path) -> failure_pb2.Failure:
    """Converts into a folder that is not there and into one with files: both are as before. The failure, which is
    the same both times, and fit for a person."""
    failures = []
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    (kept / "report.json").write_text("of an earlier conversion")
    before = content(kept)
    for output in (folder / "new" / "out", kept):
        failures.append(failure_of(client, source, spec, output))
    assert not (folder / "new").exists()
    assert content(kept) == before
    first, second = failures
    assert (first.reason, first.message) == (second.reason, second.message)
    assert re.fullmatch("[A-Z][A-Z0-9_]*", first.reason)
    assert first.reason not in ("INTERNAL_ERROR", "PLUGIN_RAISED")
    assert first.message[-1] in ".?"
    assert "Traceback" not in first.message
    return first


def failure_of(client: Client, source: Any, spec: conversion_pb2.ConversionSpec, output: Path) -> failure_pb2.Failure:
    """Why a conversion failed: before it began, or while it ran."""
    try:
        conversion = client.convert(source, spec, output)
    except ModelmillError as error:
        failure = error.failure
        return failure_pb2.Failure(
            reason=failure.reason, message=failure.message, fault=failure_pb2.Failure.Fault.Value(failure.fault.value)
        )
    assert conversion.state == conversion_pb2.Conversion.FAILED
    return conversion.failure


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def truncate(file: Path, size: int) -> None:
    with file.open("r+b") as stream:
        stream.truncate(size)
