"""``signature.json``: the inputs and outputs of a model, carried in its artifact from step to step.

Every artifact that our plug-ins make of a model has one, and so has a dataset that was made for a model:
it names the tensors to feed and to fetch.

    {"inputs":  [{"name": "pnet/input", "tensor": "pnet/input:0", "dtype": "float32", "shape": [-1, -1, -1, 3]}],
     "outputs": [{"name": "pnet/prob", "tensor": "pnet/prob:0", "dtype": "float32", "shape": [-1, -1, -1, 2]}],
     "expected_error": 0.001}
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Optional, Tuple

from modelmill_worker import reference_run
from modelmill_worker.reference_run import PLAIN_RUN, ReferenceRun

FILE_NAME = "signature.json"


@dataclass(frozen=True)
class Tensor:
    """One input or output.

    name: what people call it, unique among inputs and among outputs; it never changes along a route.
    tensor: where it is in this artifact's own terms: "node:0" in a graph, a tensor's name in a .tflite.
    dtype: numpy's name, such as "float32" or "uint8"; "string" for TensorFlow's strings.
    shape: -1 for an unknown dimension; None for an unknown rank.
    """

    name: str
    tensor: str
    dtype: str
    shape: Optional[Tuple[int, ...]]


@dataclass(frozen=True)
class Signature:
    """What goes in and what comes out, in order.

    expected_error: the largest error, relative to an output's range, that the conversions so far cost by
        their nature (rounding of floats, dynamic-range quantisation); the verifier's threshold.
    initializers: nodes of a graph to run once before the first call, in this order: they fill its lookup tables.
    variables: nodes of a graph that are variables still, and have no values in it.
    reference: how the source of the model is run in inference mode, where it was built for training.
    """

    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    expected_error: float = 0.0
    initializers: Tuple[str, ...] = ()
    variables: Tuple[str, ...] = ()
    reference: ReferenceRun = PLAIN_RUN

    def costing(self, expected_error: float) -> "Signature":
        """This signature after a conversion that may cost that much."""
        return replace(self, expected_error=max(self.expected_error, expected_error))


def write(folder: Path, signature: Signature) -> None:
    """Write the signature into an artifact's folder."""
    data = asdict(signature)
    del data["reference"]
    if not signature.initializers:
        del data["initializers"]
    if not signature.variables:
        del data["variables"]
    if not signature.reference.is_plain():
        data["reference"] = reference_run.to_json(signature.reference)
    text = json.dumps(data, indent=2, sort_keys=True)
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Signature:
    """Read the signature of an artifact that one of our plug-ins made."""
    data = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    return Signature(
        inputs=tuple(_tensor(item) for item in data["inputs"]),
        outputs=tuple(_tensor(item) for item in data["outputs"]),
        expected_error=data["expected_error"],
        initializers=tuple(data.get("initializers", ())),
        variables=tuple(data.get("variables", ())),
        reference=reference_run.from_json(data.get("reference")),
    )


def _tensor(item: dict) -> Tensor:  # type: ignore[type-arg]
    shape = None if item["shape"] is None else tuple(item["shape"])
    return Tensor(name=item["name"], tensor=item["tensor"], dtype=item["dtype"], shape=shape)
