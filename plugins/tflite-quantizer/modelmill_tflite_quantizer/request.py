"""What a converter is asked, whichever it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple


@dataclass(frozen=True)
class Request:
    """A frozen graph, its ends, and how to convert.

    graph: a binary GraphDef without variables.
    input_arrays, output_arrays: tensors in the model's order, without ":0".
    input_shapes: by input array; None for an unknown dimension.
    """

    graph: Path
    input_arrays: Tuple[str, ...]
    output_arrays: Tuple[str, ...]
    input_shapes: Dict[str, List[Optional[int]]]
    dynamic_range: bool
    allow_select_tf_ops: bool
    allow_custom_ops: bool
