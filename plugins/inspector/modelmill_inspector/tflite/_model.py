"""A .tflite as values: subgraphs, operators, tensors, buffers by their size; weights stay where they are.

Field numbers are those of TensorFlow's ``schema.fbs`` (tensorflow/compiler/mlir/lite/schema, 2.21).
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from modelmill_worker.flatbuffer import Flatbuffer, FlatbufferError, Table

from modelmill_inspector.tflite import _operators, _tensor_types

IDENTIFIER = b"TFL3"
#: No kernel takes tensors of more dimensions than 8; a file that claims many more is damaged.
_LARGEST_RANK = 32
#: No memory holds more elements.
_MOST_ELEMENTS = 2**48
#: An input that an operator may have and does not.
ABSENT = -1


@dataclass(frozen=True)
class Quantisation:
    """How integers stand for numbers: (integer - zero point) * scale, for all of a tensor or by channel.

    channels: how many scales there are; 1 is one for the whole tensor, 0 none (it says minimum and maximum only).
    dimension: the one that the channels lie along.
    scales, zero_points: where they begin in the file as float32 and int64, and how many they are.
    minimum, maximum: of the numbers, where the file tells.
    """

    channels: int
    dimension: int
    scales: Tuple[int, int]
    zero_points: Tuple[int, int]
    minimum: Tuple[float, ...]
    maximum: Tuple[float, ...]


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph.

    shape: what the interpreter begins with; a dimension that it does not know is 1 here, and -1 in `signature`.
    signature: the shape with -1 for what is known only when the model runs; the shape where all is known.
    buffer: index of the buffer, 0 for none; constant_bytes: the bytes in it, more than 0 for constants.
    """

    index: int
    name: str
    dtype: str
    shape: Tuple[int, ...]
    signature: Tuple[int, ...]
    buffer: int
    constant_bytes: int
    variable: bool
    sparse: bool
    quantisation: Optional[Quantisation]

    @property
    def constant(self) -> bool:
        """Whether the file has its value."""
        return self.constant_bytes > 0

    @property
    def elements(self) -> int:
        """How many there are, with 1 for each unknown dimension."""
        return count_elements(self.shape)

    @property
    def bytes(self) -> int:
        """What it takes when the model runs."""
        return _tensor_types.bytes_of(self.dtype, self.elements)

    @property
    def is_quantised(self) -> bool:
        """Whether its integers stand for other numbers."""
        return self.dtype in _tensor_types.SMALL_INTEGERS and bool(self.quantisation and self.quantisation.channels)

    @property
    def is_float(self) -> bool:
        """Whether it holds floating-point numbers."""
        return self.dtype in _tensor_types.FLOATS


@dataclass(frozen=True)
class OperatorCode:
    """A kind of operator that the model uses: the built-in's name or the custom operator's own, and the version."""

    name: str
    version: int
    custom: bool


@dataclass(frozen=True)
class Operator:
    """One operator of a subgraph; inputs, outputs and intermediates are indices of tensors, -1 for one left out.

    activation: what is fused into it, "" for nothing.
    subgraphs: indices of those that it runs.
    adjoint_x: whether a BATCH_MATMUL takes its left side transposed.
    custom_options: where a custom operator's own bytes begin in the file, and how many they are.
    """

    index: int
    code: OperatorCode
    inputs: Tuple[int, ...]
    outputs: Tuple[int, ...]
    activation: str
    subgraphs: Tuple[int, ...]
    adjoint_x: bool
    custom_options: Optional[Tuple[int, int]]


@dataclass(frozen=True)
class Subgraph:
    """A sequence of operators, in the order in which they run; the first subgraph of a model is the one that runs."""

    name: str
    tensors: Tuple[Tensor, ...]
    operators: Tuple[Operator, ...]
    inputs: Tuple[int, ...]
    outputs: Tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """One signature: names of inputs and outputs with the indices of the subgraph's tensors that they mean."""

    key: str
    subgraph: int
    inputs: Tuple[Tuple[str, int], ...]
    outputs: Tuple[Tuple[str, int], ...]


@dataclass(frozen=True)
class Model:
    """A whole .tflite.

    buffers: where each buffer's bytes begin in the file, and how many they are; index 0 is always empty.
    metadata: index of the buffer by the metadata's name.
    """

    version: int
    description: str
    subgraphs: Tuple[Subgraph, ...]
    buffers: Tuple[Tuple[int, int], ...]
    metadata: Dict[str, int]
    signatures: Tuple[Signature, ...]


def count_elements(shape: Sequence[int]) -> int:
    """The product of the dimensions, with 1 for unknown ones."""
    count = 1
    for size in shape:
        count *= size if size >= 0 else 1
    return count


def read_model(data: Any) -> Model:
    """The model in `data`, which may be a memory map. Raises FlatbufferError."""
    file = Flatbuffer(data)
    if file.identifier != IDENTIFIER:
        raise FlatbufferError("it does not have TFL3 at byte 4")
    root = file.root()
    buffers = tuple(_buffer(table, len(data)) for table in root.tables(4))
    codes = [_operator_code(table) for table in root.tables(1)]
    subgraphs = [_Reader(index, codes, buffers).read(table) for index, table in enumerate(root.tables(2))]
    if not subgraphs:
        raise FlatbufferError("it has no subgraph")
    for subgraph in subgraphs:
        _check_calls(subgraph, len(subgraphs))
    return Model(
        version=root.scalar(0, "I"),
        description=root.text(3),
        subgraphs=tuple(subgraphs),
        buffers=buffers,
        metadata=_metadata(root, len(buffers)),
        signatures=tuple(_signature(table, subgraphs) for table in root.tables(7)),
    )


def _buffer(table: Table, size: int) -> Tuple[int, int]:
    """A buffer lies in the flatbuffer, or behind it where the file is larger than a flatbuffer can be."""
    found = table.span(0)
    if found is not None and found[1]:
        return found
    offset, length = table.scalar(1, "Q"), table.scalar(2, "Q")
    if offset <= 1 or not length:
        return 0, 0
    if offset + length > size:
        raise FlatbufferError("a buffer's bytes {} to {} are past the file's end".format(offset, offset + length))
    return offset, length


def _operator_code(table: Table) -> OperatorCode:
    # The first field was a byte until there were more than 127 operators; the larger of both counts.
    name = _operators.builtin_name(max(table.scalar(0, "b"), table.scalar(3, "i")))
    custom = name == _operators.CUSTOM
    return OperatorCode(
        name=(table.text(1, 256) or name) if custom else name, version=table.scalar(2, "i", 1), custom=custom
    )


def _metadata(root: Table, buffers: int) -> Dict[str, int]:
    found = {}
    for entry in root.tables(6):
        name, index = entry.text(0, 256), entry.scalar(1, "I")
        if index >= buffers:
            raise FlatbufferError("the metadata {!r} is in buffer {} of {}".format(name, index, buffers))
        found[name] = index
    return found


def _signature(table: Table, subgraphs: List[Subgraph]) -> Signature:
    key, index = table.text(2, 256), table.scalar(4, "I")
    if index >= len(subgraphs):
        raise FlatbufferError("the signature {!r} is of subgraph {} of {}".format(key, index, len(subgraphs)))
    count = len(subgraphs[index].tensors)
    sides = [tuple((end.text(0), end.scalar(1, "I")) for end in table.tables(side)) for side in (0, 1)]
    for name, tensor in sides[0] + sides[1]:
        if tensor >= count:
            raise FlatbufferError("{!r} of the signature {!r} is tensor {} of {}".format(name, key, tensor, count))
    return Signature(key, index, *sides)


def _check_calls(subgraph: Subgraph, count: int) -> None:
    for operator in subgraph.operators:
        for called in operator.subgraphs:
            if not 0 <= called < count:
                raise FlatbufferError(
                    "operator {} ({}) runs subgraph {} of {}".format(operator.index, operator.code.name, called, count)
                )


class _Reader:
    """Reads one subgraph."""

    def __init__(self, index: int, codes: List[OperatorCode], buffers: Sequence[Tuple[int, int]]) -> None:
        self._where = "subgraph {}".format(index)
        self._codes = codes
        self._buffers = buffers

    def read(self, table: Table) -> Subgraph:
        tensors = tuple(self._tensor(index, one) for index, one in enumerate(table.tables(0)))
        operators = tuple(self._operator(index, one, len(tensors)) for index, one in enumerate(table.tables(3)))
        return Subgraph(
            name=table.text(4, 256),
            tensors=tensors,
            operators=operators,
            inputs=self._indices(table, 1, len(tensors), "its inputs"),
            outputs=self._indices(table, 2, len(tensors), "its outputs"),
        )

    def _tensor(self, index: int, table: Table) -> Tensor:
        buffer = table.scalar(2, "I")
        if buffer and buffer >= len(self._buffers):
            raise FlatbufferError(
                "tensor {} of {} is in buffer {} of {}".format(index, self._where, buffer, len(self._buffers))
            )
        shape = self._shape(index, table, 0)
        return Tensor(
            index=index,
            name=table.text(3, 1024),
            dtype=_tensor_types.name_of(table.scalar(1, "b")),
            shape=shape,
            signature=self._shape(index, table, 7) or shape,
            buffer=buffer,
            constant_bytes=self._buffers[buffer][1] if self._buffers else 0,
            variable=bool(table.scalar(5, "B")),
            sparse=table.place(6) is not None,
            quantisation=_quantisation(table.table(4)),
        )

    def _shape(self, index: int, table: Table, field: int) -> Tuple[int, ...]:
        shape = table.numbers(field, "i", _LARGEST_RANK + 1) or ()
        possible = len(shape) <= _LARGEST_RANK and all(size >= -1 for size in shape)
        if not possible or count_elements(shape) > _MOST_ELEMENTS:
            raise FlatbufferError("tensor {} of {} has no possible shape".format(index, self._where))
        return shape

    def _operator(self, index: int, table: Table, tensors: int) -> Operator:
        what = "operator {}".format(index)
        code = table.scalar(0, "I")
        if code >= len(self._codes):
            raise FlatbufferError("{} of {} is of kind {} of {}".format(what, self._where, code, len(self._codes)))
        kind = self._codes[code]
        options = table.table(4) or table.table(12)
        return Operator(
            index=index,
            code=kind,
            inputs=self._indices(table, 1, tensors, what),
            outputs=self._indices(table, 2, tensors, what),
            activation=_activation(kind, options),
            subgraphs=_called(kind, options),
            adjoint_x=bool(kind.name == "BATCH_MATMUL" and options and options.scalar(0, "B")),
            custom_options=table.span(5) if kind.custom else None,
        )

    def _indices(self, table: Table, field: int, tensors: int, what: str) -> Tuple[int, ...]:
        found = table.numbers(field, "i") or ()
        for tensor in found:
            if not ABSENT <= tensor < tensors:
                raise FlatbufferError("{} of {} has tensor {} of {}".format(what, self._where, tensor, tensors))
        return found


def _activation(code: OperatorCode, options: Optional[Table]) -> str:
    field = _operators.FUSED_ACTIVATION.get(code.name)
    if field is None or options is None or code.custom:
        return ""
    value = options.scalar(field, "b")
    known = _operators.ACTIVATIONS
    return known[value] if 0 <= value < len(known) else "ACTIVATION_{}".format(value)


def _called(code: OperatorCode, options: Optional[Table]) -> Tuple[int, ...]:
    if options is None or code.custom:
        return ()
    if code.name == "STABLEHLO_CASE":
        return options.numbers(0, "i") or ()
    return tuple(options.scalar(field, "i") for field in _operators.SUBGRAPHS.get(code.name, ()))


def _quantisation(table: Optional[Table]) -> Optional[Quantisation]:
    if table is None:
        return None
    scales = table.span(2, 4) or (0, 0)
    found = Quantisation(
        channels=scales[1],
        dimension=table.scalar(6, "i"),
        scales=scales,
        zero_points=table.span(3, 8) or (0, 0),
        minimum=table.numbers(0, "f", 1) or (),
        maximum=table.numbers(1, "f", 1) or (),
    )
    return found if found.channels or found.minimum or found.maximum else None
