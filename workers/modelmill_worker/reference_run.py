"""What must be fed to a training graph so that its own session infers, as the graph that was frozen of it does.

The freezer writes this into a frozen graph's signature; the verifier's run of the source follows it. TensorFlow
lets any tensor be fed, so that the source itself need not be changed:

    {"inputs": {"batch": "IteratorGetNext:0"},
     "stand_ins": [{"tensor": "is_training:0", "value": false},
                   {"tensor": "dropout/mul:0", "source": "hidden/Relu:0"},
                   {"tensor": "bn/FusedBatchNorm:0", "source": "conv/Conv2D:0", "mean": "bn/moving_mean/read:0",
                    "variance": "bn/moving_variance/read:0"}],
     "averages": {"hidden/weights": "hidden/weights/ExponentialMovingAverage"},
     "batch": 32,
     "unlike": ""}
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Optional, Tuple


@dataclass(frozen=True)
class StandIn:
    """A tensor of the source to feed, and with what.

    value: plain data: truth values, numbers, lists of them; None where the other fields tell.
    source: the tensor whose value it takes.
    mean, variance: tensors of the statistics by which `source` is to be normalised, for the first output of a fused
        batch normalisation, whose further inputs and attributes the source's own node has.
    """

    tensor: str
    value: Any = None
    source: str = ""
    mean: str = ""
    variance: str = ""


@dataclass(frozen=True)
class ReferenceRun:
    """How the source of a frozen graph is run to compare with it.

    inputs: for inputs of the frozen graph, the tensor of the source that is to be fed instead.
    stand_ins: in the order of the data flow; each may depend on those before it.
    averages: for variables that take another value of the checkpoint than their own, its key; by the nodes' names.
    batch: the only batch size that the source takes; 0 where any will do.
    unlike: why the source cannot be run to compare with, as a sentence; empty where it can.
    """

    inputs: Dict[str, str] = field(default_factory=dict)
    stand_ins: Tuple[StandIn, ...] = ()
    batch: int = 0
    unlike: str = ""
    averages: Dict[str, str] = field(default_factory=dict)

    def is_plain(self) -> bool:
        """Whether the source is run with its inputs and nothing else."""
        return self == PLAIN_RUN


PLAIN_RUN = ReferenceRun()


def to_json(run: ReferenceRun) -> Dict[str, Any]:
    """Plain data for a signature; fields that say nothing are left out."""
    data = asdict(run)
    data["stand_ins"] = [
        {key: value for key, value in item.items() if value not in (None, "")} for item in data["stand_ins"]
    ]
    if not run.averages:
        del data["averages"]
    return data


def from_json(data: Optional[Dict[str, Any]]) -> ReferenceRun:
    """The other way."""
    if not data:
        return PLAIN_RUN
    stand_ins = tuple(StandIn(**item) for item in data["stand_ins"])
    return ReferenceRun(
        dict(data["inputs"]), stand_ins, int(data["batch"]), data["unlike"], dict(data.get("averages", {}))
    )
