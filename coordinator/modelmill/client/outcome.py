"""What the states of conversions and results mean to a client."""

from __future__ import annotations

from modelmill_protos.v1 import conversion_pb2

#: States in which nothing can happen any more.
ENDED = frozenset(
    {conversion_pb2.Conversion.SUCCEEDED, conversion_pb2.Conversion.FAILED, conversion_pb2.Conversion.CANCELLED}
)


def has_ended(conversion: conversion_pb2.Conversion) -> bool:
    """Whether nothing can happen to the conversion any more."""
    return conversion.state in ENDED


def has_succeeded(result: conversion_pb2.Result) -> bool:
    """Whether a target has an artifact that nothing speaks against; a check that could not be made does not."""
    return (
        result.HasField("artifact")
        and not result.HasField("failure")
        and result.verification.state != conversion_pb2.Verification.FAILED
    )
