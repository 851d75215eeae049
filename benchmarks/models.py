"""The models that are measured: P-Net, frozen from the demo's checkpoint, and PoseNet from the corpus."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelmill.client import collect

from benchmarks.farm import DEMO, Farm, corpus


@dataclass(frozen=True)
class Model:
    """A frozen GraphDef and what a converter must be told of it."""

    name: str
    graph: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def models(farm: Farm) -> Iterator[Model]:
    """P-Net where `make demo` has built it, PoseNet where the corpus is."""
    if (DEMO / "graph.pbtxt").exists():
        yield Model("P-Net", _frozen(farm), ("pnet/input",), ("pnet/prob", "pnet/bbox"))
    else:
        print("    P-Net is left out: run `make demo` first")
    folder = corpus()
    if folder is not None:
        heads = ("heatmap_2", "offset_2", "displacement_fwd_2", "displacement_bwd_2")
        outputs = tuple(f"MobilenetV1/{head}/BiasAdd" for head in heads)
        yield Model("PoseNet", folder / "posenet" / "frozen.pb", ("image",), outputs)
    else:
        print("    PoseNet is left out: the corpus is not here")


def _frozen(farm: Farm) -> Path:
    """P-Net's frozen graph as the farm's freezer makes it of the checkpoint."""
    graph = farm.folder / "pnet.pb"
    if not graph.exists():
        conversion = farm.convert(collect(DEMO / "model.ckpt", DEMO / "graph.pbtxt"), "tflite")
        output = next(step.output for step in conversion.steps if step.id == "freeze")
        farm.client.download(output, farm.folder / "pnet")
        (farm.folder / "pnet" / "graph.pb").rename(graph)
    return graph
