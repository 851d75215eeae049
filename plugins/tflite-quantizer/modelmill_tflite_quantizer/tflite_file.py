"""Reads a .tflite as data: its operators, inputs and outputs.

Fields are numbered as in TensorFlow's ``schema.fbs``. TensorFlow before 2.3 brings no reader, and of the file only a
few fields are needed here.
"""

from dataclasses import dataclass, field
from typing import Dict, List, Tuple

from modelmill_worker import StepError, flatbuffer
from modelmill_worker.errors import TOOL
from modelmill_worker.flatbuffer import FlatbufferError, Table

from modelmill_tflite_quantizer.builtin_operators import BUILTIN_OPERATORS

_CUSTOM = BUILTIN_OPERATORS.index("CUSTOM")

#: numpy's names of ``enum TensorType``, by its value.
_TYPES = (
    "float32",
    "float16",
    "int32",
    "uint8",
    "int64",
    "string",
    "bool",
    "int16",
    "complex64",
    "int8",
    "float64",
    "complex128",
    "uint64",
    "resource",
    "variant",
    "uint32",
    "uint16",
    "int4",
    "bfloat16",
)


@dataclass(frozen=True)
class Tensor:
    """One tensor; -1 for a dimension that is known only when the model runs."""

    name: str
    dtype: str
    shape: Tuple[int, ...]


@dataclass(frozen=True)
class Flatbuffer:
    """What a .tflite holds.

    operators: one name for each operator of each subgraph, in order; custom operators by their own name.
    custom_operators: the names of those that are no builtin ones, Flex operators included, sorted.
    inputs, outputs: those of the first subgraph, which is the one that runs, in order.
    signature_inputs, signature_outputs: by the names of the file's first signature; empty where it has none.
    """

    operators: Tuple[str, ...]
    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    signature_inputs: Dict[str, Tensor] = field(default_factory=dict)
    signature_outputs: Dict[str, Tensor] = field(default_factory=dict)
    custom_operators: Tuple[str, ...] = ()


def read(content: bytes) -> Flatbuffer:
    """Read a .tflite; StepError TFLITE_UNREADABLE where `content` is none."""
    if content[4:8] != b"TFL3":
        raise _unreadable()
    try:
        return _read_model(flatbuffer.Flatbuffer(content).root())
    except (FlatbufferError, IndexError) as error:
        raise _unreadable() from error


def _unreadable() -> StepError:
    return StepError("TFLITE_UNREADABLE", "What the converter gave is not a TFLite model.", {}, TOOL)


def _read_model(model: Table) -> Flatbuffer:
    names = [_operator_name(code) for code in model.tables(1)]
    subgraphs = model.tables(2)
    first = subgraphs[0]
    tensors = first.tables(0)
    signatures = model.tables(7)[:1]
    return Flatbuffer(
        operators=tuple(names[operator.scalar(0, "I")] for subgraph in subgraphs for operator in subgraph.tables(3)),
        inputs=tuple(_tensor(tensors[index]) for index in first.numbers(1, "i") or ()),
        outputs=tuple(_tensor(tensors[index]) for index in first.numbers(2, "i") or ()),
        custom_operators=tuple(sorted(code.text(1) or "CUSTOM" for code in model.tables(1) if _is_custom(code))),
        signature_inputs=_named(signatures, 0, tensors),
        signature_outputs=_named(signatures, 1, tensors),
    )


def _named(signatures: List[Table], ends: int, tensors: List[Table]) -> Dict[str, Tensor]:
    """The inputs or outputs of signatures: pairs of a name and a tensor of the first subgraph."""
    return {
        end.text(0): _tensor(tensors[end.scalar(1, "I")]) for signature in signatures for end in signature.tables(ends)
    }


def _builtin(code: Table) -> int:
    # The first field was a byte until there were more than 127 operators; the larger of both counts.
    return max(code.scalar(0, "b"), code.scalar(3, "i"))


def _is_custom(code: Table) -> bool:
    return _builtin(code) == _CUSTOM


def _operator_name(code: Table) -> str:
    builtin = _builtin(code)
    if builtin == _CUSTOM:
        return code.text(1) or "CUSTOM"
    return BUILTIN_OPERATORS[builtin] if builtin < len(BUILTIN_OPERATORS) else "BUILTIN_{}".format(builtin)


def _tensor(tensor: Table) -> Tensor:
    kind = tensor.scalar(1, "b")
    shape = tensor.numbers(7, "i")
    return Tensor(
        name=tensor.text(3),
        dtype=_TYPES[kind] if kind < len(_TYPES) else "type_{}".format(kind),
        shape=shape if shape is not None else (tensor.numbers(0, "i") or ()),
    )
