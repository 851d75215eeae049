"""Every TensorFlow source of the corpus becomes a frozen graph that computes what the source itself computes.

The farm compares the frozen graph with the source's own session, signature or Keras model. For MTCNN a second witness
is there: the outputs that TensorFlow 1.9 and 1.15 gave when the corpus was made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format
from modelmill.client import Client, collect, conversion_pb2
from modelmill.wire import struct_of

#: Of an output's range. Freezing changes no operation; what is folded or taken by another kernel changes a rounding.
TOLERANCE = 1e-6
#: An output of one number has no range: it may be 64 roundings of a float32 away, as the verifier has it.
ROUNDINGS = 64 * 2**-23


@dataclass(frozen=True)
class Model:
    """A source in the corpus, the graph file beside it where there is one, and what the freezer is told of it."""

    path: str
    graph: str = ""
    inputs: Sequence[str] = ()

    def __str__(self) -> str:
        return self.graph or self.path


MTCNN = [f"mtcnn/{version}/{net}" for version in ("tf1.9.0", "tf1.15.5") for net in ("pnet", "rnet", "onet")]
MODELS = [
    *(Model(f"{net}/model.ckpt", f"{net}/{graph}") for net in MTCNN for graph in ("graph.pb", "model.ckpt.meta")),
    *(Model(f"{net}/saved_model") for net in MTCNN),
    *(Model(f"{net}/frozen.pb") for net in MTCNN),
    Model("posenet/frozen.pb"),
    *(
        Model(f"kws-tf1-frozen/{name}.pb", inputs=["Mfcc=1,49,10:float32"])
        for name in ("DS_CNN_S", "CRNN_S", "Basic_LSTM_S")
    ),
    Model("basic-pitch/nmp"),
    Model("kws-dscnn/kws_ref_model"),
    Model("mtcnn/keras2/pnet_saved_model"),
    Model("mtcnn/keras2/onet.h5"),
    Model("mtcnn/keras2/pnet.h5"),
    Model("mtcnn/keras2/onet.keras"),
    Model("mtcnn/keras2/pnet.keras"),
    Model("mtcnn/keras3/onet.keras"),
    Model("mtcnn/keras3/pnet.keras"),
    Model("resnet8/pretrainedResnet.h5"),
    Model("keras-mnist-cnn/model.keras"),
    Model("keras-nlf-classifier/model.keras"),
    Model("keras-audio-classifier/model.keras"),
]


@pytest.fixture(scope="module")
def farm(shared_coordinator):
    with Client(shared_coordinator.address) as client:
        yield client


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_frozen_graph_computes_what_the_source_does(
    model: Model, farm: Client, corpus: Path, tmp_path: Path, record_property
) -> None:
    conversion = farm.convert(source_of(model, corpus), specification(model), tmp_path / "out")

    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED, json_format.MessageToJson(conversion.failure)
    verification = conversion.results[0].verification
    assert verification.state == conversion_pb2.Verification.PASSED, verification.reason
    assert verification.outputs
    for output in verification.outputs:
        if output.reference_range:
            assert output.max_abs_error <= TOLERANCE * output.reference_range, output
        else:
            assert output.rms_relative_error <= ROUNDINGS, output
    record_property(
        "relative errors",
        {output.output: output.max_abs_error / (output.reference_range or 1.0) for output in verification.outputs},
    )
    assert (tmp_path / "out" / "frozen-graph" / "graph.pb").is_file()


@pytest.mark.parametrize("net", MTCNN)
@pytest.mark.parametrize("source", ["model.ckpt", "saved_model"])
def test_the_frozen_graph_answers_as_when_the_net_was_trained(
    net: str, source: str, farm: Client, corpus: Path, tmp_path: Path
) -> None:
    golden = dict(np.load(corpus / net / "golden.npz"))
    model = Model(f"{net}/{source}", f"{net}/graph.pb" if source == "model.ckpt" else "")
    probe = farm.inspect_model(farm.upload(source_of(model, corpus)))
    (name,) = (tensor["name"] for tensor in json_format.MessageToDict(probe)["inputs"])
    np.savez(tmp_path / "golden-input.npz", **{name: golden["input"]})
    spec = specification(model)
    spec.verification.dataset.CopyFrom(farm.upload(tmp_path / "golden-input.npz", "dataset"))

    conversion = farm.convert(source_of(model, corpus), spec, tmp_path / "out")

    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED, conversion.failure
    run = next(step for step in conversion.steps if step.id == "run.frozen-graph")
    farm.download(run.output, tmp_path / "run")
    for output, values in np.load(tmp_path / "run" / "arrays.npz").items():
        expected = golden[output.rpartition("/")[2]] if output not in golden else golden[output]
        span = float(np.ptp(expected))
        # TensorFlow 1.9's and 1.15's kernels on the machine that made the corpus: 5e-7 is the worst seen.
        assert np.max(np.abs(values - expected)) <= 1e-5 * span > 0


def source_of(model: Model, corpus: Path):
    return collect(corpus / model.path, corpus / model.graph if model.graph else None)


def specification(model: Model) -> conversion_pb2.ConversionSpec:
    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name="frozen-graph")])
    spec.verification.tolerance = TOLERANCE
    if model.inputs:
        spec.plugin_options["freezer"].CopyFrom(struct_of({"inputs": list(model.inputs)}))
    return spec
