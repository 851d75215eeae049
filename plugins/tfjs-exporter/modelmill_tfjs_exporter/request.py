"""What tensorflowjs is asked, whichever version it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple


@dataclass(frozen=True)
class Request:
    """A frozen graph, what to keep of it, and how to write it.

    graph: a binary GraphDef without variables.
    outputs: tensors in the model's order, such as "halves:1".
    folder: where the graph model goes.
    weight_quantization: "none", "float16", "uint16" or "uint8".
    shard_size: largest size of one file of weights, in bytes.
    skip_op_check: whether operations that TensorFlow.js does not know are exported.
    """

    graph: Path
    outputs: Tuple[str, ...]
    folder: Path
    weight_quantization: str = "none"
    shard_size: int = 4 * 1024 * 1024
    skip_op_check: bool = False
