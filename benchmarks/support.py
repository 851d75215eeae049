"""The inspector's tables of support against what really happens: predicted to convert or not, converted or not.

Every model of the corpus is inspected and then converted by each of the versions, with the options of the inspection
and no others, unverified. Without the corpus there is nothing to measure.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill.client import Client, collect, conversion_pb2
from modelmill.wire import struct_of

from benchmarks.farm import PROJECT, Farm

#: TensorFlow for tflite, one for each era of its converters; "" is tfjs, by whichever tensorflowjs can.
VERSIONS = ("1.9", "1.13", "1.15", "2.4", "2.15", "2.21", "")


@dataclass(frozen=True)
class Model:
    """A source in the corpus, and the shapes that its inputs are given."""

    path: str
    input_shapes: dict[str, list[int]] = field(default_factory=dict)

    def __str__(self) -> str:
        shapes = ["x".join(map(str, shape)) for shape in self.input_shapes.values()]
        return f"{self.path}, {', '.join(shapes)}" if shapes else self.path


_MTCNN = [f"mtcnn/{version}/{net}/frozen.pb" for version in ("tf1.9.0", "tf1.15.5") for net in ("pnet", "rnet", "onet")]
MODELS = (
    Model("posenet/frozen.pb"),
    *(Model(f"kws-tf1-frozen/{name}.pb") for name in ("DS_CNN_S", "CRNN_S", "Basic_LSTM_S")),
    Model("basic-pitch/nmp"),
    Model("kws-dscnn/kws_ref_model"),
    Model("mtcnn/keras2/pnet_saved_model"),
    *map(Model, _MTCNN),
    *(Model(path, {"pnet/input": [1, 24, 24, 3]}) for path in _MTCNN if "pnet" in path),
)


@dataclass(frozen=True)
class Comparison:
    """What was predicted for a model and a version, and what came: why it should not, and why it did not, convert."""

    model: str
    version: str
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
    """Every model, by every version."""
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda model: compare(farm.client, model, corpus(), VERSIONS, farm.folder), MODELS)
        return [comparison for comparisons in found for comparison in comparisons]


def compare(client: Client, model: Model, models: Path, versions: tuple[str, ...], folder: Path) -> list[Comparison]:
    """One model, inspected once and converted by each version."""
    options = {"input_shapes": model.input_shapes} if model.input_shapes else {}
    targets = client.inspect(models / model.path, options)["support"]["targets"]
    return [_compare(client, model, models, version, predicted(targets, version), folder) for version in versions]


def predicted(targets: list[dict[str, Any]], version: str) -> dict[str, Any]:
    """The verdict for a TensorFlow; where version is "", for the tensorflowjs that converts, else for the newest."""
    name = "tflite" if version else "tfjs"
    rows = [row for row in targets if row["target"] == name and (not version or version in row["versions"])]
    return next((row for row in rows if row["needs"] == "builtin"), rows[-1])


def _compare(
    client: Client, model: Model, models: Path, version: str, verdict: dict[str, Any], folder: Path
) -> Comparison:
    target = conversion_pb2.TargetRequest(name="tflite" if version else "tfjs", tensorflow=version)
    spec = conversion_pb2.ConversionSpec(
        targets=[target], verification=conversion_pb2.VerificationRequest(skip=True), version_retries=0
    )
    if model.input_shapes:
        spec.plugin_options["freezer"].CopyFrom(struct_of({"input_shapes": model.input_shapes}))
    output = folder / f"{model.path}-{version or 'tfjs'}".replace("/", "-")
    conversion = client.convert(collect(models / model.path), spec, output)
    converted = conversion.state == conversion_pb2.Conversion.SUCCEEDED
    said = f"{conversion.failure.reason}: {conversion.failure.message}" if not converted else ""
    label = version or "tfjs"
    print(f"    {model} {label}: predicted {verdict['needs'] or 'no'}, converted {converted} {said[:200]}", flush=True)
    needs_nothing = verdict["needs"] == "builtin"
    return Comparison(str(model), label, needs_nothing, converted, verdict["why"], said)


def table(comparisons: list[Comparison]) -> str:
    """A row for each model; "yes" and "no" where prediction and conversion agree, else both."""
    versions = list(dict.fromkeys(comparison.version for comparison in comparisons))
    agreeing = sum(comparison.agrees for comparison in comparisons)
    lines = [
        f"Prediction and conversion agree in {agreeing} of {len(comparisons)} cases.",
        "",
        "| model | " + " | ".join(versions) + " |",
        "| --- |" + " --- |" * len(versions),
    ]
    for model in dict.fromkeys(comparison.model for comparison in comparisons):
        cells = [_cell(comparison) for comparison in comparisons if comparison.model == model]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    wrong = [comparison for comparison in comparisons if not comparison.agrees]
    if wrong:
        lines += ["", "Where they do not agree:", ""]
    for comparison in wrong:
        told = comparison.reason.partition(":")[0] or comparison.why
        lines.append(f"- {comparison.model}, {comparison.version}: {_cell(comparison)}. {told}")
    return "\n".join(lines)


def _cell(comparison: Comparison) -> str:
    words = {True: "yes", False: "no"}
    if comparison.agrees:
        return words[comparison.converted]
    return f"predicted {words[comparison.predicted]}, is {words[comparison.converted]}"
