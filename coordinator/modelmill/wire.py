"""Values to protobuf and back, for what both `api` and `fleet` send: artifacts, failures, plug-ins, options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from modelmill_protos.v1 import artifact_pb2, catalog_pb2, failure_pb2

from modelmill.errors import Failure, Fault
from modelmill.values import Artifact, Edge, File, Plugin, Preference, Role, Target


def struct_of(value: Mapping[str, Any]) -> Struct:
    """A JSON object as protobuf's Struct."""
    struct = Struct()
    struct.update(dict(value))
    return struct


def value_of(struct: Struct) -> dict[str, Any]:
    """A Struct as a JSON object; whole numbers, which Struct keeps as floats, become integers again."""
    return {str(key): _whole(item) for key, item in json_format.MessageToDict(struct).items()}


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value


def artifact_message(artifact: Artifact) -> artifact_pb2.Artifact:
    """An artifact for the wire."""
    files = [artifact_pb2.File(path=file.path, digest=file.digest, size=file.size) for file in artifact.files]
    return artifact_pb2.Artifact(kind=artifact.kind, files=files, digest=artifact.digest)


def artifact_of(message: artifact_pb2.Artifact) -> Artifact:
    """An artifact from the wire."""
    return Artifact(message.kind, tuple(File(file.path, file.digest, file.size) for file in message.files))


def failure_message(failure: Failure) -> failure_pb2.Failure:
    """A failure for the wire."""
    return failure_pb2.Failure(
        reason=failure.reason,
        message=failure.message,
        fault=failure_pb2.Failure.Fault.Value(failure.fault.value),
        details=struct_of(failure.details),
        log_tail=failure.log_tail,
    )


def failure_of(message: failure_pb2.Failure) -> Failure:
    """A failure from the wire; one that does not say whose fault it is counts as the tool's."""
    name = failure_pb2.Failure.Fault.Name(message.fault)
    fault = Fault(name) if name in Fault.__members__ else Fault.TOOL
    return Failure(message.reason, message.message, fault, value_of(message.details), message.log_tail)


def plugin_message(plugin: Plugin) -> catalog_pb2.Plugin:
    """A plug-in for the wire."""
    return catalog_pb2.Plugin(
        name=plugin.name,
        version=plugin.version,
        api_version=plugin.api_version,
        summary=plugin.summary,
        distribution=plugin.distribution,
        code_digest=plugin.code_digest,
        edges=[_edge_message(edge) for edge in plugin.edges],
        targets=[target_message(target) for target in plugin.targets],
    )


def plugin_of(message: catalog_pb2.Plugin) -> Plugin:
    """A plug-in from the wire."""
    return Plugin(
        name=message.name,
        version=message.version,
        api_version=message.api_version,
        summary=message.summary,
        distribution=message.distribution,
        code_digest=message.code_digest,
        edges=tuple(_edge_of(edge) for edge in message.edges),
        targets=tuple(_target_of(target, message.name) for target in message.targets),
    )


def target_message(target: Target) -> catalog_pb2.Target:
    """A target for the wire."""
    return catalog_pb2.Target(
        name=target.name,
        kind=target.kind,
        summary=target.summary,
        plugin=target.plugin,
        options_schema=struct_of(target.options_schema),
    )


def _target_of(message: catalog_pb2.Target, plugin: str) -> Target:
    return Target(message.name, message.kind, message.summary, plugin, value_of(message.options_schema))


def _edge_message(edge: Edge) -> catalog_pb2.Edge:
    return catalog_pb2.Edge(
        name=edge.name,
        role=catalog_pb2.Edge.Role.Value(edge.role.value),
        inputs=[catalog_pb2.Edge.Input(name=name, kind=kind) for name, kind in edge.inputs.items()],
        output=edge.output,
        options_schema=struct_of(edge.options_schema),
        requires=edge.requires,
        preference=catalog_pb2.Edge.Preference.Value(edge.preference.value),
        cost=edge.cost,
        prefers=edge.prefers,
        input_made_by=edge.input_made_by,
    )


def _edge_of(message: catalog_pb2.Edge) -> Edge:
    return Edge(
        name=message.name,
        role=Role(catalog_pb2.Edge.Role.Name(message.role)),
        inputs={item.name: item.kind for item in message.inputs},
        output=message.output,
        options_schema=value_of(message.options_schema),
        requires=tuple(message.requires),
        preference=Preference(catalog_pb2.Edge.Preference.Name(message.preference)),
        cost=message.cost,
        prefers=message.prefers,
        input_made_by=message.input_made_by,
    )
