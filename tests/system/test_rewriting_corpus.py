"""The corpus's nets, rewritten for each target, with proof: each rule moves the outputs by roundings only."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from modelmill.client import Client, collect, conversion_pb2
from modelmill.wire import struct_of, value_of

#: Of an output's range. Rules change the order of float32 sums and fold factors into weights: in a net as deep as
#: PoseNet that adds up to some units of 1e-6.
TOLERANCE = 1e-5
TARGETS = ("tflite", "tfjs", "frozen-graph")


@dataclass(frozen=True)
class Model:
    """A source in the corpus, and what the freezer is told of it."""

    path: str
    inputs: Sequence[str] = ()

    def __str__(self) -> str:
        return self.path


MFCC = ["Mfcc=1,49,10:float32"]
MODELS = [
    *(
        Model(f"mtcnn/{version}/{net}/frozen.pb")
        for version in ("tf1.9.0", "tf1.15.5")
        for net in ("pnet", "rnet", "onet")
    ),
    Model("posenet/frozen.pb"),
    *(Model(f"kws-tf1-frozen/{name}.pb", MFCC) for name in ("DS_CNN_S", "CRNN_S", "Basic_LSTM_S")),
    Model("kws-dscnn/kws_ref_model"),
    Model("basic-pitch/nmp"),
]


#: PReLUs by net, from the paper (Zhang et al. 2016, figure 2): one after each layer but the last.
PRELUS = {"pnet": 3, "rnet": 4, "onet": 5}


@pytest.fixture(scope="module")
def farm(shared_coordinator) -> Iterator[Client]:
    with Client(shared_coordinator.address) as client:
        yield client


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_rule_is_proved_for_every_target(
    model: Model, farm: Client, corpus: Path, tmp_path: Path, record_property
) -> None:
    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name=name) for name in TARGETS])
    spec.verification.prove = True
    spec.plugin_options["rewriter"].CopyFrom(struct_of({"rewrite": ["default"]}))
    if model.inputs:
        spec.plugin_options["freezer"].CopyFrom(struct_of({"inputs": list(model.inputs)}))

    conversion = farm.convert(collect(corpus / model.path), spec, tmp_path / "out")

    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED, json_format.MessageToJson(conversion.failure)
    assert [result.target for result in conversion.results] == list(TARGETS)
    for result in conversion.results:
        assert result.verification.state == conversion_pb2.Verification.PASSED, result.verification.reason
    proofs = {step.id: value_of(step.facts)["proof"] for step in conversion.steps if step.id.startswith("prove.")}
    assert set(proofs) == {f"prove.rewrite.{name}" for name in TARGETS}
    for proof in proofs.values():
        for rule in proof["rules"]:
            assert "why_not" not in rule, rule
            assert all(output["of_range"] <= TOLERANCE for output in rule["outputs"]), rule
    made = farm.inspect(tmp_path / "out" / "tflite" / "model.tflite")
    leaves_nothing_unfused(made, PRELUS.get(Path(model.path).parent.name))
    record_property("moved", {name: max(it["of_range"] for it in proof["outputs"]) for name, proof in proofs.items()})


def leaves_nothing_unfused(facts: Mapping[str, Any], prelus: int | None) -> None:
    """No activation of a .tflite is an operator of its own that could be part of another, and no PReLU is in pieces."""
    assert facts["activations"]["could_fuse_count"] == 0, facts["activations"]["separate"]
    if prelus is not None:
        assert facts["operations"]["PRELU"] == prelus
        assert not {"NEG", "RELU", "MUL", "ABS", "MAXIMUM", "MINIMUM"} & set(facts["operations"])
