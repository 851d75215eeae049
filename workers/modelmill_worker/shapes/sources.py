"""Where tensors come from: constants, placeholders, variables, iterators, queues, random numbers, tensor arrays."""

from typing import Sequence

from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.shapes.known import LARGEST_VALUE, Shape, Value, dimensions, value_of
from modelmill_worker.shapes.operation import Operation, rule, value_rule

_INTEGERS = frozenset(["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])


@rule("Const")
def _constant(operation: Operation) -> Sequence[Shape]:
    return [tensors.decode_shape(operation.attribute("value").tensor.tensor_shape)]


@value_rule("Const")
def _constant_value(operation: Operation) -> Value:
    tensor = operation.attribute("value").tensor
    shape = tensors.decode_shape(tensor.tensor_shape)
    if shape is None or tensors.data_type(tensor.dtype).name not in _INTEGERS:
        return None
    count = tensors.element_count(shape)
    if count > LARGEST_VALUE or any(size < 0 for size in shape):
        return None
    try:
        return value_of(tensors.decode(tensor))
    except StepError:
        return None


@rule("Placeholder", "PlaceholderV2")
def _placeholder(operation: Operation) -> Sequence[Shape]:
    return [graph_def.shape_of_placeholder(operation.node, operation.producer)]


@rule("Variable", "VariableV2", "AutoReloadVariable", "TemporaryVariable")
def _variable(operation: Operation) -> Sequence[Shape]:
    return [operation.shape_attribute("shape")]


@rule("VarHandleOp", "HashTableV2", "MutableHashTableV2", "StackV2", "FIFOQueueV2", "IteratorV2")
def _handle(operation: Operation) -> Sequence[Shape]:
    del operation
    return [()]


@rule("ReadVariableOp")
def _read_variable(operation: Operation) -> Sequence[Shape]:
    return [operation.inputs[0].held]


@rule("VariableShape")
def _variable_shape(operation: Operation) -> Sequence[Shape]:
    held = operation.inputs[0].held
    return [(-1,) if held is None else (len(held),)]


@rule("IteratorGetNext", "OneShotIterator")
def _iterator(operation: Operation) -> Sequence[Shape]:
    return operation.shapes_attribute("output_shapes")


@rule("LookupTableFind", "LookupTableFindV2")
def _looked_up(operation: Operation) -> Sequence[Shape]:
    return [operation.shape(1)]


@rule("StatelessRandomUniform", "StatelessRandomNormal", "StatelessTruncatedNormal")
def _random(operation: Operation) -> Sequence[Shape]:
    return [dimensions(operation.value(0))]


@rule("TensorArrayV3", "TensorArrayV2")
def _tensor_array(operation: Operation) -> Sequence[Shape]:
    del operation
    return [(2,), ()]


@rule("TensorArraySizeV3", "TensorArraySizeV2", "TensorArrayWriteV3", "TensorArrayScatterV3", "TensorArraySplitV3")
def _tensor_array_flow(operation: Operation) -> Sequence[Shape]:
    del operation
    return [()]


@rule("TensorListReserve", "TensorListSetItem", "TensorListFromTensor", "EmptyTensorList", "TensorListPushBack")
def _tensor_list(operation: Operation) -> Sequence[Shape]:
    del operation
    return [()]


@rule("TensorListLength")
def _tensor_list_length(operation: Operation) -> Sequence[Shape]:
    del operation
    return [()]


@rule("NoOp", "Assert")
def _nothing(operation: Operation) -> Sequence[Shape]:
    del operation
    return []


@rule("Switch", "RefSwitch")
def _switch(operation: Operation) -> Sequence[Shape]:
    return [operation.shape(0), operation.shape(0)]


@rule("Exit", "RefExit", "NextIteration", "RefNextIteration")
def _passed_on(operation: Operation) -> Sequence[Shape]:
    return [operation.shape(0)]


@rule("IdentityN")
def _all_passed_on(operation: Operation) -> Sequence[Shape]:
    return [known.shape for known in operation.inputs]
