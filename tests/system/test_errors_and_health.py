"""What any gRPC client can rely on: health, reflection, and errors that a program can act on."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from asking import specification
from coordinator_process import CoordinatorProcess
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from modelmill.client import Client
from modelmill_protos.v1 import artifact_pb2, conversion_pb2, conversion_pb2_grpc, failure_pb2

SERVICES = tuple(f"modelmill.v1.{name}Service" for name in ("Conversion", "Artifact", "Catalog"))


@pytest.fixture
def channel(shared_coordinator: CoordinatorProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(shared_coordinator.address) as made:
        yield made


@pytest.fixture
def stub(channel: grpc.Channel) -> conversion_pb2_grpc.ConversionServiceStub:
    return conversion_pb2_grpc.ConversionServiceStub(channel)


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health_is_told_for_the_farm_and_each_service(channel: grpc.Channel, service: str):
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_names_the_services_and_their_methods(channel: grpc.Channel):
    database = ProtoReflectionDescriptorDatabase(channel)

    assert set(SERVICES) <= set(database.get_services())
    service = DescriptorPool(database).FindServiceByName("modelmill.v1.ConversionService")
    own = conversion_pb2.DESCRIPTOR.services_by_name["ConversionService"]
    assert set(service.methods_by_name) == set(own.methods_by_name)


def test_unknown_target_names_the_known_ones(
    stub: conversion_pb2_grpc.ConversionServiceStub, client: Client, frozen: Path
):
    spec = specification("tflight")
    spec.source.CopyFrom(client.upload(frozen))

    error = refused(lambda: stub.CreateConversion(conversion_pb2.CreateConversionRequest(spec=spec)))

    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert info_of(error).reason == "UNKNOWN_TARGET"
    assert "tflite" in error.details()
    assert detail_of(error, error_details_pb2.BadRequest).field_violations


def test_missing_files_are_named_as_a_precondition(stub: conversion_pb2_grpc.ConversionServiceStub):
    spec = specification("tflite")
    digest = "ab" * 32
    spec.source.files.add(path="graph.pb", digest=digest, size=17)

    error = refused(lambda: stub.CreateConversion(conversion_pb2.CreateConversionRequest(spec=spec)))

    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert info_of(error).reason == "FILES_MISSING"
    (violation,) = detail_of(error, error_details_pb2.PreconditionFailure).violations
    assert (violation.type, violation.subject) == ("MISSING", f"blobs/{digest}/17")
    failure = detail_of(error, failure_pb2.Failure)
    assert failure.reason == "FILES_MISSING"
    assert failure.fault == failure_pb2.Failure.INPUT


@pytest.mark.parametrize("method", ["GetConversion", "WatchConversion", "CancelConversion"])
def test_unknown_conversion_is_not_found(stub: conversion_pb2_grpc.ConversionServiceStub, method: str):
    request = getattr(conversion_pb2, f"{method}Request")(id="nobody")

    def call() -> None:
        answer = getattr(stub, method)(request)
        if method == "WatchConversion":
            list(answer)

    error = refused(call)
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert info_of(error).reason == "CONVERSION_NOT_FOUND"
    assert info_of(error).metadata["id"] == "nobody"


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../b", "a\\b", ""])
def test_path_that_leads_outside_is_refused(
    stub: conversion_pb2_grpc.ConversionServiceStub, client: Client, frozen: Path, path: str
):
    file = client.upload(frozen).files[0]
    spec = specification("tflite")
    spec.source.CopyFrom(
        artifact_pb2.Artifact(files=[artifact_pb2.File(path=path, digest=file.digest, size=file.size)])
    )

    error = refused(lambda: stub.CreateConversion(conversion_pb2.CreateConversionRequest(spec=spec)))

    assert info_of(error).reason == "INVALID_ARTIFACT"


def refused(call) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def info_of(error: grpc.RpcError) -> error_details_pb2.ErrorInfo:
    info = detail_of(error, error_details_pb2.ErrorInfo)
    assert info.domain == "modelmill"
    return info


def detail_of(error: grpc.RpcError, kind: type):
    for detail in rpc_status.from_call(error).details:
        message = kind()
        if detail.Unpack(message):
            return message
    raise AssertionError(f"the status has no {kind.__name__}")
