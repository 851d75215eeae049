"""The inspector's tables of support against what really happens: predicted to convert or not, converted or not.

Every graph of the corpus is inspected and then converted, unverified, by six TensorFlow versions, as it is and with
TensorFlow's operators allowed, and by every tensorflowjs. Without the corpus there is nothing to measure.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill.client import Client, Source, collect, conversion_pb2
from modelmill.errors import ModelmillError
from modelmill_worker import graph_def
from modelmill_worker.dataflow import prune

from benchmarks.farm import PROJECT, Farm


@dataclass(frozen=True)
class Way:
    """One way to convert.

    version: as a prediction names it: TensorFlow's for tflite, tensorflowjs's for tfjs.
    tensorflow: the version by which it is asked for.
    select: whether TensorFlow's operators are allowed.
    """

    target: str
    version: str
    tensorflow: str
    select: bool = False

    def __str__(self) -> str:
        name = self.version if self.target == "tflite" else f"tfjs {self.version}"
        return f"{name}, select" if self.select else name


#: One TensorFlow for each era of its converters; those before 1.12 cannot be allowed TensorFlow's operators.
_VERSIONS = ("1.9", "1.13", "1.15", "2.4", "2.15", "2.21")
WAYS = (
    *(Way("tflite", version, version) for version in _VERSIONS),
    *(Way("tflite", version, version, select=True) for version in _VERSIONS[1:]),
    *(Way("tfjs", version, tensorflow) for version, tensorflow in (("0.8", "1.12"), ("1.7", "1.15"), ("4.22", "2.19"))),
)


@dataclass(frozen=True)
class Model:
    """A source in the corpus.

    graph: that of a checkpoint.
    input_shapes: shapes that its inputs are given.
    features: the node from which on it is taken, and the shape of the placeholder in its place.
    """

    path: str
    graph: str = ""
    input_shapes: dict[str, list[int]] = field(default_factory=dict)
    features: tuple[str, tuple[int, ...]] | None = None

    def __str__(self) -> str:
        shapes = [f"{name} {'x'.join(map(str, shape)) or 'a scalar'}" for name, shape in self.input_shapes.items()]
        cut = [f"from {self.features[0]} on"] if self.features else []
        return ", ".join([self.path, *shapes, *cut])

    def source(self, models: Path, folder: Path) -> Source:
        """Its files; what is cut is written into the folder."""
        if self.features:
            return collect(_cut(models / self.path, *self.features, folder / Path(self.path).name))
        return collect(models / self.path, models / self.graph if self.graph else None)


def _cut(path: Path, name: str, shape: tuple[int, ...], file: Path) -> Path:
    graph = graph_def.read(path)
    (node,) = [node for node in graph.node if node.name == name]
    node.Clear()
    node.name, node.op, node.attr["dtype"].type = name, "Placeholder", 1
    for size in shape:
        node.attr["shape"].shape.dim.add().size = size
    graph_def.write(file, prune(graph, ["labels_softmax"]))
    return file


_MTCNN = [f"mtcnn/{writer}/{net}" for writer in ("tf1.9.0", "tf1.15.5") for net in ("pnet", "rnet", "onet")]
_SPOTTERS = [f"kws-tf1-frozen/{name}.pb" for name in ("DS_CNN_S", "CRNN_S", "Basic_LSTM_S")]
MODELS = (
    Model("posenet/frozen.pb"),
    *(Model(path) for path in _SPOTTERS),
    *(Model(path, input_shapes={"wav_data": []}) for path in _SPOTTERS),
    *(Model(path, features=("Mfcc", (1, 49, 10))) for path in _SPOTTERS),
    Model("basic-pitch/nmp"),
    Model("kws-dscnn/kws_ref_model"),
    Model("mtcnn/keras2/pnet_saved_model"),
    *(Model(f"{folder}/frozen.pb") for folder in _MTCNN),
    *(Model(f"{folder}/model.ckpt", f"{folder}/graph.pb") for folder in _MTCNN),
    *(Model(f"{folder}/saved_model") for folder in _MTCNN),
    Model("mtcnn/tf1.9.0/pnet/frozen.pb", input_shapes={"pnet/input": [1, 24, 24, 3]}),
)


@dataclass(frozen=True)
class Comparison:
    """What was predicted for a model and a way, and what came: why it should not, and why it did not, convert."""

    model: str
    way: str
    predicted: bool
    converted: bool
    why: str
    reason: str

    @property
    def agrees(self) -> bool:
        return self.predicted == self.converted


def corpus() -> Path:
    """MODELMILL_CORPUS, else where the tests look for it."""
    return Path(os.environ.get("MODELMILL_CORPUS") or PROJECT.parent / "shared" / "corpus")


def measure(farm: Farm) -> list[Comparison]:
    """Every model in every way: way by way, so that an environment's worker is warm."""
    inspected = [(model, *_inspect(farm.client, model, corpus(), farm.folder)) for model in MODELS]
    return [_compare(farm.client, *found, way, farm.folder) for way in WAYS for found in inspected]


def compare(client: Client, model: Model, models: Path, ways: tuple[Way, ...], folder: Path) -> list[Comparison]:
    """One model, inspected once and converted in each way."""
    source, targets = _inspect(client, model, models, folder)
    return [_compare(client, model, source, targets, way, folder) for way in ways]


def _inspect(client: Client, model: Model, models: Path, folder: Path) -> tuple[Source, list[dict[str, Any]]]:
    source = model.source(models, folder)
    return source, client.inspect(source, {"input_shapes": model.input_shapes})["support"]["targets"]


def _compare(
    client: Client, model: Model, source: Source, targets: list[dict[str, Any]], way: Way, folder: Path
) -> Comparison:
    (verdict,) = [row for row in targets if row["target"] == way.target and way.version in row["versions"]]
    said = _convert(client, model, source, way, folder)
    predicted = verdict["needs"] in (("builtin", "select") if way.select else ("builtin",))
    found = Comparison(str(model), str(way), predicted, not said, verdict["why"], said)
    mark = "agree" if found.agrees else "DIFFER"
    print(f"    {mark}: {model} | {way} | {predicted} {verdict['why'][:100]} | {said[:200]}", flush=True)
    return found


def _convert(client: Client, model: Model, source: Source, way: Way, folder: Path) -> str:
    """Why it does not convert; empty where it does."""
    target = conversion_pb2.TargetRequest(name=way.target, tensorflow=way.tensorflow)
    if way.select:
        target.options.update({"allow_select_tf_ops": True})
    if model.input_shapes and way.target == "tflite":
        target.options.update({"input_shapes": model.input_shapes})
    spec = conversion_pb2.ConversionSpec(
        targets=[target], verification=conversion_pb2.VerificationRequest(skip=True), version_retries=0
    )
    output = folder / f"{model}-{way}".replace("/", "-")
    try:
        conversion = client.convert(source, spec, output)
    except ModelmillError as error:
        return f"{error.reason}: {error}"
    converted = conversion.state == conversion_pb2.Conversion.SUCCEEDED
    return "" if converted else f"{conversion.failure.reason}: {conversion.failure.message}"


def table(comparisons: list[Comparison]) -> str:
    """How many agree, a row for each way, a row for each model, and what does not agree."""
    agreeing = sum(found.agrees for found in comparisons)
    converted = sum(found.converted for found in comparisons)
    lines = [
        f"Prediction and conversion agree in {agreeing} of {len(comparisons)} cases; {converted} convert.",
        "",
        "| way | both convert | both refuse | predicted only | converted only |",
        "| --- | --- | --- | --- | --- |",
    ]
    for way in dict.fromkeys(found.way for found in comparisons):
        pairs = [(found.predicted, found.converted) for found in comparisons if found.way == way]
        counts = [pairs.count(pair) for pair in ((True, True), (False, False), (True, False), (False, True))]
        lines.append(f"| {way} | " + " | ".join(map(str, counts)) + " |")
    lines += ["", "| model | converts |", "| --- | --- |"]
    for model in dict.fromkeys(found.model for found in comparisons):
        ways = [found.way for found in comparisons if found.model == model and found.converted]
        lines.append(f"| {model} | {'; '.join(ways) or 'no way'} |")
    wrong = [found for found in comparisons if not found.agrees]
    if wrong:
        lines += ["", "Where they do not agree:", ""]
    words = {True: "yes", False: "no"}
    for found in wrong:
        told = found.reason.partition(":")[0] or found.why
        sides = f"predicted {words[found.predicted]}, is {words[found.converted]}"
        lines.append(f"- {found.model}, {found.way}: {sides}. {told}")
    return "\n".join(lines)
