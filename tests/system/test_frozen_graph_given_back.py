"""What the target frozen-graph made is itself a source: of the same target with other outputs, and of TFLite."""

from pathlib import Path

from google.protobuf import json_format
from modelmill.client import Client, collect, conversion_pb2
from modelmill.wire import struct_of

State = conversion_pb2.Conversion.State


def specification(target: str, **freezer: object) -> conversion_pb2.ConversionSpec:
    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name=target)])
    if freezer:
        spec.plugin_options["freezer"].CopyFrom(struct_of(freezer))
    return spec


def freeze(client: Client, corpus: Path, folder: Path, **freezer: object) -> conversion_pb2.Conversion:
    net = corpus / "mtcnn" / "tf1.15.5" / "onet"
    return client.convert(
        collect(net / "model.ckpt", net / "graph.pb"), specification("frozen-graph", **freezer), folder
    )


def test_other_outputs_can_be_chosen_of_a_result(client: Client, corpus: Path, tmp_path: Path) -> None:
    first = freeze(client, corpus, tmp_path / "first")
    assert first.state == State.SUCCEEDED, first.failure
    made = tmp_path / "first" / "frozen-graph"

    again = client.convert(
        collect(made), specification("frozen-graph", outputs=["landmarks", "bbox"]), tmp_path / "again"
    )

    assert again.state == State.SUCCEEDED, again.failure
    (result,) = again.results
    assert result.verification.state == conversion_pb2.Verification.PASSED, result.verification.reason
    assert [compared.output for compared in result.verification.outputs] == ["landmarks", "bbox"]
    assert (tmp_path / "again" / "frozen-graph" / "graph.pb").stat().st_size < (made / "graph.pb").stat().st_size


def test_variables_that_stay_skip_the_verification_and_stop_tflite(
    client: Client, corpus: Path, tmp_path: Path
) -> None:
    kept = freeze(client, corpus, tmp_path / "kept", without_variables=["*/biases"])
    if kept.state != State.SUCCEEDED:  # The name of a pattern is the checkpoint's business; show which names there are.
        raise AssertionError(json_format.MessageToJson(kept.failure))
    (result,) = kept.results
    assert result.verification.state == conversion_pb2.Verification.SKIPPED
    assert "stayed variables" in result.verification.reason

    refused = client.convert(collect(tmp_path / "kept" / "frozen-graph"), specification("tflite"), tmp_path / "refused")

    assert refused.state == State.FAILED
    assert refused.failure.reason == "VARIABLES_NOT_FROZEN"
