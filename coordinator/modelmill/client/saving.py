"""A conversion's results as files: `<output>/<target label>/...` and `<output>/report.json`."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import json_format
from modelmill_protos.v1 import conversion_pb2

from modelmill.client.downloading import Downloader, disk_named, move_folder, staging
from modelmill.client.outcome import has_succeeded
from modelmill.client.transfer import OnTransfer
from modelmill.errors import Fault, ModelmillError

REPORT = "report.json"


async def save(
    conversion: conversion_pb2.Conversion, output: Path, downloader: Downloader, on_transfer: OnTransfer
) -> list[Path]:
    """Writes the targets that succeeded and the report; returns the files, in order.

    All is fetched and checked before the first folder takes its place. Where no target succeeded, nothing is
    written; where this fails, the output folder is as it was.
    """
    results = [result for result in conversion.results if has_succeeded(result)]
    if not results:
        return []
    with staging(output) as stage:
        artifacts = [(result.artifact, stage / _folder_name(result.target)) for result in results]
        await downloader.download(artifacts, on_transfer)
        with disk_named(output / REPORT):
            (stage / REPORT).write_text(report_of(conversion), encoding="utf-8")
        for result in results:
            move_folder(stage / result.target, output / result.target)
        with disk_named(output / REPORT):
            (stage / REPORT).replace(output / REPORT)
    files = [output / result.target / file.path for result in results for file in result.artifact.files]
    return [*files, output / REPORT]


def report_of(conversion: conversion_pb2.Conversion) -> str:
    """The whole conversion, with plan, steps and comparisons, as protobuf's JSON of `modelmill.v1.Conversion`."""
    return json_format.MessageToJson(conversion, preserving_proto_field_name=True, ensure_ascii=False) + "\n"


def _folder_name(label: str) -> str:
    """The label, known to be a plain name: a server must not choose where files go."""
    if not label or label.startswith(".") or "/" in label or "\\" in label or "\0" in label:
        raise ModelmillError(
            "INVALID_LABEL", f"The server names a target {label!r}, which is no name.", {"label": label}, Fault.TOOL
        )
    return label
