"""Check the tables of support: what an inspection predicts of the corpus's models against what conversions come to.

    python -m benchmarks.support [--write]

Every model of the corpus that is a graph is inspected, and then converted with six versions of TensorFlow, without
and with TensorFlow operators allowed, and with each tensorflowjs. `--write` puts the result into docs/support.md.
Keras models are not predicted: their graph exists only once a TensorFlow has traced it.
"""

import argparse
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill.client import Source, collect, conversion_pb2
from modelmill.errors import ModelmillError
from modelmill_worker import graph_def
from modelmill_worker.dataflow import prune

from benchmarks.farm import PROJECT, Farm, corpus

DOCUMENT = PROJECT / "docs" / "support.md"
BEGIN, END = "<!-- table: python -m benchmarks.support -->", "<!-- end of table -->"

#: TensorFlow with TOCO alone, the last of TensorFlow 1, MLIR's beginnings, and three of today's.
TENSORFLOW = ("1.9", "1.13", "1.15", "2.4", "2.15", "2.21")
#: tensorflowjs, and the TensorFlow that it exports with, by which it is asked for.
TENSORFLOWJS = {"0.8": "1.12", "1.7": "1.15", "4.22": "2.19"}
#: The options of tflite that are tried, and what a prediction may need for them.
WAYS = {"tflite": ("builtin",), "tflite, TensorFlow operators allowed": ("builtin", "select")}
#: The versions of these that cannot be asked to keep TensorFlow's operators.
WITHOUT_SELECT = ("1.9",)
#: Where the feature front of the keyword spotters ends, and the shape there.
FEATURES, FEATURE_SHAPE = "Mfcc", (1, 49, 10)


@dataclass(frozen=True)
class Model:
    """A model of the corpus, with the shapes that are given to inspection and conversion."""

    name: str
    source: Source
    shapes: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One conversion: predicted or not, converted or not, and the sentences for both."""

    model: str
    target: str
    version: str
    predicted: bool
    converted: bool
    why: str
    said: str

    @property
    def agrees(self) -> bool:
        return self.predicted == self.converted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the result into docs/support.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelmill-support-") as folder, Farm(Path(folder)) as farm:
        cases = list(check(farm, list(models(Path(folder)))))
    text = report(cases)
    print(text)
    if options.write:
        before, rest = DOCUMENT.read_text().split(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")


def models(folder: Path) -> Iterator[Model]:
    """The corpus's graphs, and some of them cut or with a shape fixed."""
    place = corpus()
    if place is None:
        raise SystemExit("The corpus is not here; set MODELMILL_CORPUS.")
    for net in ("pnet", "rnet", "onet"):
        name = f"{net[0].upper()}-Net"
        for writer in ("1.9.0", "1.15.5"):
            files = place / "mtcnn" / f"tf{writer}" / net
            yield Model(f"{name} of {writer}, frozen", collect(files / "frozen.pb"))
            yield Model(f"{name} of {writer}, checkpoint", collect(files / "model.ckpt", files / "graph.pb"))
            if (files / "saved_model").is_dir():
                yield Model(f"{name} of {writer}, SavedModel", collect(files / "saved_model"))
    pnet = collect(place / "mtcnn" / "tf1.9.0" / "pnet" / "frozen.pb")
    yield Model("P-Net of 1.9.0, frozen, 64x64", pnet, {"pnet/input": [1, 64, 64, 3]})
    yield Model("P-Net of Keras 2, SavedModel", collect(place / "mtcnn" / "keras2" / "pnet_saved_model"))
    yield Model("PoseNet, frozen", collect(place / "posenet" / "frozen.pb"))
    for net in ("DS_CNN_S", "CRNN_S", "Basic_LSTM_S"):
        whole = place / "kws-tf1-frozen" / f"{net}.pb"
        yield Model(f"keywords {net}, frozen", collect(whole))
        yield Model(f"keywords {net}, frozen, its input a scalar", collect(whole), {"wav_data": []})
        yield Model(f"keywords {net}, frozen, from its features on", collect(cut(whole, folder / f"{net}.pb")))
    yield Model("basic-pitch, SavedModel", collect(place / "basic-pitch" / "nmp"))
    yield Model("keywords DS-CNN, SavedModel", collect(place / "kws-dscnn" / "kws_ref_model"))


def cut(graph: Path, file: Path) -> Path:
    """The graph with a placeholder in place of its feature front."""
    read = graph_def.read(graph)
    (node,) = [node for node in read.node if node.name == FEATURES]
    node.op = "Placeholder"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = 1
    for size in FEATURE_SHAPE:
        node.attr["shape"].shape.dim.add().size = size
    graph_def.write(file, prune(read, ["labels_softmax"]))
    return file


def check(farm: Farm, found: list[Model]) -> Iterator[Case]:
    """Every conversion, version by version so that an environment's worker is warm."""
    predictions = {model.name: predict(farm, model) for model in found}
    for version in TENSORFLOW:
        for way, needs in WAYS.items():
            for model in found if version not in WITHOUT_SELECT or needs == ("builtin",) else ():
                verdict = predictions[model.name]["tflite", version]
                options = {"input_shapes": model.shapes, "allow_select_tf_ops": len(needs) > 1}
                yield case(farm, model, "tflite", version, way, verdict, needs, options)
    for version, tensorflow in TENSORFLOWJS.items():
        for model in found:
            verdict = predictions[model.name]["tfjs", version]
            yield case(farm, model, "tfjs", tensorflow, f"tfjs {version}", verdict, ("builtin",), {})


def predict(farm: Farm, model: Model) -> dict[tuple[str, str], dict[str, Any]]:
    """The verdict for each target and version."""
    facts = farm.client.inspect(model.source, {"input_shapes": model.shapes})
    targets = facts["support"]["targets"]
    return {(entry["target"], version): entry for entry in targets for version in entry["versions"]}


def case(
    farm: Farm,
    model: Model,
    target: str,
    tensorflow: str,
    label: str,
    verdict: dict[str, Any],
    needs: tuple[str, ...],
    options: dict[str, Any],
) -> Case:
    """Convert, and compare."""
    request = conversion_pb2.TargetRequest(name=target, tensorflow=tensorflow)
    request.options.update({name: value for name, value in options.items() if value})
    spec = conversion_pb2.ConversionSpec(
        targets=[request], verification=conversion_pb2.VerificationRequest(skip=True), version_retries=0
    )
    said = ""
    try:
        conversion = farm.client.convert(model.source, spec, farm.folder / "out")
        if conversion.state != conversion_pb2.Conversion.SUCCEEDED:
            said = f"{conversion.failure.reason}: {conversion.failure.message}"
    except ModelmillError as error:
        said = f"{error.reason}: {error}"
    predicted = verdict["needs"] in needs
    found = Case(model.name, label, tensorflow, predicted, not said, verdict["why"], said)
    print(
        f"{'      ' if found.agrees else 'DIFFER'} {model.name} | {label} | {tensorflow} | {found.converted}",
        flush=True,
    )
    if not found.agrees:
        print(f"       predicted: {found.why}\n       found: {said[:300]}", flush=True)
    return found


def report(cases: list[Case]) -> str:
    """The agreement, a table by version, and every disagreement."""
    agreeing = sum(case.agrees for case in cases)
    lines = [f"{agreeing} of {len(cases)} predictions agree ({agreeing / len(cases):.1%}).", ""]
    lines += ["| target | TensorFlow | both convert | both refuse | predicted only | converted only |"]
    lines += ["|---|---|---|---|---|---|"]
    for label, version in dict.fromkeys((case.target, case.version) for case in cases):
        here = [case for case in cases if (case.target, case.version) == (label, version)]
        counts = [
            sum((case.predicted, case.converted) == pair for case in here)
            for pair in ((True, True), (False, False), (True, False), (False, True))
        ]
        lines.append(f"| {label} | {version} | {' | '.join(map(str, counts))} |")
    lines += ["", "| model | target | TensorFlow | predicted | converted | why |", "|---|---|---|---|---|---|"]
    words = {True: "yes", False: "no"}
    for case in cases:
        if not case.agrees:
            why = re.sub(r"/\S*/site-packages/", "", case.said or case.why).replace("|", "/").replace("\n", " ")[:200]
            sides = f"{words[case.predicted]} | {words[case.converted]}"
            lines.append(f"| {case.model} | {case.target} | {case.version} | {sides} | {why} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
