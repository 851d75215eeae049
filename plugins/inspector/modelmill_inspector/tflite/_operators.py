"""TFLite's built-in operators: their names by code, what of their options matters here, and who first knew them.

Field numbers are those of TensorFlow's ``schema.fbs`` (tensorflow/compiler/mlir/lite/schema, 2.21).
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Optional, Tuple

_TABLE = Path(__file__).with_name("runtime_versions.json")

#: ``enum ActivationFunctionType``.
ACTIVATIONS = ("", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")

#: The field `fused_activation_function` in the options of the operators that have one.
FUSED_ACTIVATION = {
    "ADD": 0,
    "AVERAGE_POOL_2D": 5,
    "BIDIRECTIONAL_SEQUENCE_LSTM": 0,
    "BIDIRECTIONAL_SEQUENCE_RNN": 1,
    "CONCATENATION": 1,
    "CONV_2D": 3,
    "CONV_3D": 4,
    "CONV_3D_TRANSPOSE": 4,
    "DEPTHWISE_CONV_2D": 4,
    "DIV": 0,
    "FULLY_CONNECTED": 0,
    "L2_NORMALIZATION": 0,
    "L2_POOL_2D": 5,
    "LSTM": 0,
    "MAX_POOL_2D": 5,
    "MUL": 0,
    "RNN": 0,
    "SUB": 0,
    "SVDF": 1,
    "TRANSPOSE_CONV": 3,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 0,
    "UNIDIRECTIONAL_SEQUENCE_RNN": 1,
}

#: The fields with indices of subgraphs in the options of the operators that run some.
SUBGRAPHS: Dict[str, Tuple[int, ...]] = {
    "CALL": (0,),
    "CALL_ONCE": (0,),
    "IF": (0, 1),
    "WHILE": (0, 1),
    "STABLEHLO_COMPOSITE": (1,),
    "STABLEHLO_REDUCE": (1,),
    "STABLEHLO_REDUCE_WINDOW": (5,),
    "STABLEHLO_SCATTER": (6,),
    "STABLEHLO_SORT": (2,),
    "STABLEHLO_WHILE": (0, 1),
}

CUSTOM = "CUSTOM"
#: How the custom operators are named that run TensorFlow's own kernels.
FLEX_PREFIX = "Flex"


def builtin_name(code: int) -> str:
    """The name of a code; that of an unknown one has its number."""
    names = _table()[1]
    return names[code] if 0 <= code < len(names) else "BUILTIN_{}".format(code)


def first_runtime(name: str, version: int) -> Optional[str]:
    """The first TFLite runtime that knows this version of a built-in operator, such as "2.3.0".

    "" where TensorFlow names none for the operator at all; None where this version is newer than the table.
    """
    runtimes = _table()[2].get(name)
    if runtimes is None or version > len(runtimes) > 0:
        return None
    return runtimes[version - 1] if 0 < version <= len(runtimes) else ""


def newest_runtime() -> str:
    """The TensorFlow that the table is from."""
    return _table()[0]


@lru_cache(maxsize=1)
def _table() -> Tuple[str, Tuple[str, ...], Dict[str, List[str]]]:
    content = json.loads(_TABLE.read_text(encoding="utf-8"))
    return content["tensorflow"], tuple(row[0] for row in content["operators"]), dict(content["operators"])
