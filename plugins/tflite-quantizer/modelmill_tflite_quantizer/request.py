"""What a converter is asked, whichever it is, and what it gives."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from modelmill_worker.signature import Signature

from modelmill_tflite_quantizer.sources import Source

#: The values of the option `converter`, but for "auto".
TOCO = "toco"
MLIR = "mlir"

#: The values of the option `quantization`.
FLOAT = "float"
DYNAMIC_RANGE = "dynamic_range"
QAT_UINT8 = "qat_uint8"


@dataclass(frozen=True)
class Request:
    """A model, its ends, and how to convert.

    signature: the source's, with the shapes that the result shall have.
    input_stats: by input name, (mean, standard deviation) of the uint8 values of a quantised input.
    apart: whether TOCO runs in a process of its own, which it may abort.
    """

    source: Source
    signature: Signature
    quantization: str = FLOAT
    converter: str = MLIR
    allow_select_tf_ops: bool = False
    allow_custom_ops: bool = False
    input_stats: Optional[Dict[str, Tuple[float, float]]] = None
    apart: bool = True

    def input_shapes(self) -> Dict[str, List[Optional[int]]]:
        """The inputs' shapes by array, with None for an unknown dimension."""
        return {
            array_of(tensor.tensor): [None if size == -1 else size for size in tensor.shape]
            for tensor in self.signature.inputs
            if tensor.shape is not None
        }


@dataclass(frozen=True)
class Converted:
    """A .tflite and how its ends correspond to the request's.

    inputs, outputs: for each end of the request's signature, in its order, the name that the file's own signature gives
        it, where the file has one.
    by_array: whether the file's tensors keep the names of the source's.
    input_order, output_order: the ends in the order in which the converter got them, as indices into the request's.
    """

    content: bytes
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    by_array: bool
    input_order: Tuple[int, ...]
    output_order: Tuple[int, ...]


def array_of(tensor: str) -> str:
    """A tensor as the converters name it: without the number of the node's first output."""
    return tensor[:-2] if tensor.endswith(":0") else tensor
