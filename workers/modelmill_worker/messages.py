"""The worker's own values to protobuf."""

import platform
from typing import Iterable

from modelmill_protos.v1 import artifact_pb2, catalog_pb2, failure_pb2, worker_pb2

from modelmill_worker import json_values, options, structs
from modelmill_worker.errors import TOOL, StepError
from modelmill_worker.plugin_api import Edge, Plugin, Target
from modelmill_worker.registry import BrokenPlugin, LoadedPlugin, Registry
from modelmill_worker.watch import LogNews, News


def failure(error: StepError) -> failure_pb2.Failure:
    """A failure; details that are no JSON are told as text, so that it always arrives."""
    return failure_pb2.Failure(
        reason=error.reason,
        message=error.message,
        fault=failure_pb2.Failure.Fault.Value(error.fault),
        details=structs.from_json(json_values.tolerated(error.details), "details"),
        log_tail=error.log_tail,
    )


def description(environment: str, digest: str, registry: Registry) -> worker_pb2.WorkerDescription:
    """What this worker can do."""
    return worker_pb2.WorkerDescription(
        environment=environment,
        environment_digest=digest,
        python=platform.python_version(),
        plugins=[_plugin(loaded) for _, loaded in sorted(registry.plugins.items())],
        broken=[_broken(broken) for broken in registry.broken],
    )


def news(item: News) -> worker_pb2.StepResponse:
    """Progress or log of a running step."""
    if isinstance(item, LogNews):
        return worker_pb2.StepResponse(log=item.text)
    return worker_pb2.StepResponse(progress=worker_pb2.Progress(fraction=item.fraction, message=item.message))


def need(digests: Iterable[str]) -> worker_pb2.StepResponse:
    """The inputs to send."""
    return worker_pb2.StepResponse(need=worker_pb2.Digests(digests=digests))


def chunk(digest: str, data: bytes, last: bool) -> worker_pb2.StepResponse:
    """Some bytes of an output."""
    return worker_pb2.StepResponse(chunk=worker_pb2.Chunk(digest=digest, data=data, last=last))


def artifact(kind: str, files: Iterable[artifact_pb2.File]) -> artifact_pb2.Artifact:
    """An artifact; its own digest is the coordinator's to set."""
    return artifact_pb2.Artifact(kind=kind, files=files)


def _plugin(loaded: LoadedPlugin) -> catalog_pb2.Plugin:
    plugin = loaded.plugin
    return catalog_pb2.Plugin(
        name=plugin.name,
        version=plugin.version,
        api_version=plugin.api_version,
        summary=plugin.summary,
        distribution=loaded.distribution,
        code_digest=loaded.code_digest,
        edges=[_edge(edge) for edge in plugin.edges],
        targets=[_target(plugin, target) for target in plugin.targets],
    )


def _edge(edge: Edge) -> catalog_pb2.Edge:
    return catalog_pb2.Edge(
        name=edge.name,
        role=catalog_pb2.Edge.Role.Value(edge.role.name),
        inputs=[catalog_pb2.Edge.Input(name=name, kind=kind) for name, kind in edge.inputs],
        output=edge.output,
        options_schema=structs.from_json(options.json_schema(edge.options), "options_schema"),
        requires=edge.requires,
        preference=catalog_pb2.Edge.Preference.Value(edge.preference.name),
        cost=edge.cost,
        prefers=edge.prefers,
        input_made_by=edge.input_made_by,
    )


def _target(plugin: Plugin, target: Target) -> catalog_pb2.Target:
    edge = next(edge for edge in plugin.edges if edge.name == target.edge)
    return catalog_pb2.Target(
        name=target.name,
        kind=target.kind,
        summary=target.summary,
        plugin=plugin.name,
        options_schema=structs.from_json(options.json_schema(edge.options), "options_schema"),
    )


def _broken(broken: BrokenPlugin) -> catalog_pb2.BrokenPlugin:
    error = StepError(broken.reason, broken.message, {"plugin": broken.name}, fault=TOOL)
    return catalog_pb2.BrokenPlugin(
        name=broken.name, version=broken.version, distribution=broken.distribution, failure=failure(error)
    )
