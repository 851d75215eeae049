"""What cannot be asked for is refused, with what can be asked for instead."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modelmill.client import Client, conversion_pb2
from refusals import fails, specification, struct

BOTH = ("tflite", "tfjs")


def test_names_the_nearest_outputs_where_one_does_not_exist(client: Client, pnet: Path, tmp_path: Path) -> None:
    failure = fails(client, pnet, specification(*BOTH, freezer={"outputs": ["probb"]}), tmp_path)

    assert failure.reason == "OUTPUT_NOT_FOUND"
    assert "no output probb" in failure.message
    assert "Nearest names: prob" in failure.message


REQUESTS: dict[str, tuple[conversion_pb2.ConversionSpec, str, str]] = {}


def request(reason: str, words: str) -> Callable[[Callable[[], conversion_pb2.ConversionSpec]], None]:
    """Registers a specification that must be refused with this reason and these words."""

    def register(make: Callable[[], conversion_pb2.ConversionSpec]) -> None:
        REQUESTS[make.__name__] = (make(), reason, words)

    return register


def with_options(target: str, **options: Any) -> conversion_pb2.ConversionSpec:
    return conversion_pb2.ConversionSpec(
        targets=[conversion_pb2.TargetRequest(name=target, options=struct(options))],
    )


@request("UNKNOWN_TARGET", "known are: .*tfjs, tflite")
def unknown_target() -> conversion_pb2.ConversionSpec:
    return specification("tflit")


@request("NO_TARGET", "tfjs, tflite")
def no_target() -> conversion_pb2.ConversionSpec:
    return specification()


@request("INVALID_OPTION", "'big' is not of type 'integer'. Give a value of type integer")
def text_for_a_number() -> conversion_pb2.ConversionSpec:
    return with_options("tfjs", shard_size="big")


@request("INVALID_OPTION", "Give a value of type integer")
def fraction_for_a_whole_number() -> conversion_pb2.ConversionSpec:
    return with_options("tfjs", shard_size=1.5)


@request("INVALID_OPTION", "Give one of: dynamic_range, float")
def number_for_a_choice() -> conversion_pb2.ConversionSpec:
    return with_options("tflite", quantization=7)


@request("INVALID_OPTION", "Give one of: float16, none, uint16, uint8")
def unknown_choice() -> conversion_pb2.ConversionSpec:
    return with_options("tfjs", weight_quantization="int3")


@request("INVALID_OPTION", "Give a value of type array")
def text_for_a_list() -> conversion_pb2.ConversionSpec:
    return specification("tflite", freezer={"outputs": "prob"})


@request("INVALID_OPTION", "Give a value of type string")
def number_in_a_list_of_texts() -> conversion_pb2.ConversionSpec:
    return specification("tflite", freezer={"outputs": ["prob", 3]})


@request("INVALID_OPTION", "Give a value of type integer")
def text_in_a_shape() -> conversion_pb2.ConversionSpec:
    return specification("tflite", freezer={"input_shapes": {"pnet/input": [1, "high", 48, 3]}})


@request("UNKNOWN_OPTION", "known are: shard_size")
def unknown_option_of_a_target() -> conversion_pb2.ConversionSpec:
    return with_options("tfjs", shardsize=3)


@request("UNKNOWN_OPTION", "known are: .*outputs")
def unknown_option_of_a_plugin() -> conversion_pb2.ConversionSpec:
    return specification("tflite", freezer={"outpts": ["prob"]})


@request("UNKNOWN_PLUGIN", "known are: freezer, ")
def unknown_plugin() -> conversion_pb2.ConversionSpec:
    return specification("tflite", frezer={"outputs": ["prob"]})


@request("INVALID_TOLERANCE", "not below zero")
def negative_tolerance() -> conversion_pb2.ConversionSpec:
    spec = specification("tflite")
    spec.verification.tolerance = -1
    return spec


@request("INVALID_LIMIT", "below zero")
def negative_deadline() -> conversion_pb2.ConversionSpec:
    spec = specification("tflite")
    spec.limits.step_deadline.seconds = -5
    return spec


@request("INVALID_SHAPE", "pnet/input has")
def negative_dimension() -> conversion_pb2.ConversionSpec:
    spec = specification("tflite")
    spec.verification.input_shapes["pnet/input"].dimensions.extend([1, -2, 48, 3])
    return spec


@request("INVALID_OPTION", "its inputs are pnet/input")
def shape_of_an_unknown_input() -> conversion_pb2.ConversionSpec:
    spec = specification("tflite")
    spec.verification.input_shapes["image"].dimensions.extend([1, 48, 48, 3])
    return spec


@request("INVALID_OPTION", "at least one byte")
def number_that_makes_no_sense() -> conversion_pb2.ConversionSpec:
    return with_options("tfjs", shard_size=-1)


@request("TENSOR_NAME_MALFORMED", 'Write it as in "softmax"')
def malformed_output_name() -> conversion_pb2.ConversionSpec:
    return specification("tflite", freezer={"outputs": ["^prob::"]})


@pytest.mark.parametrize("name", REQUESTS)
def test_refuses_what_cannot_be_asked_for(name: str, client: Client, pnet: Path, tmp_path: Path) -> None:
    spec, reason, words = REQUESTS[name]

    failure = fails(client, pnet, spec, tmp_path)

    assert failure.reason == reason
    assert re.search(words, failure.message), failure.message
