"""Which tensor of a .tflite is which input or output of the model that it was made of."""

from dataclasses import replace
from typing import Dict, List, Tuple

from modelmill_worker.signature import Signature, Tensor

from modelmill_tflite_quantizer import tflite_file
from modelmill_tflite_quantizer.refusals import outputs_lost
from modelmill_tflite_quantizer.request import Converted, array_of


def signature_of(flatbuffer: tflite_file.Flatbuffer, source: Signature, converted: Converted) -> Signature:
    """The source's names with the .tflite's own tensors.

    The file's own signature tells best; else the arrays' names, where the converter keeps them; else the order.
    (Two outputs that are the same tensor have one name, say.)

    Raises StepError CONVERTER_REFUSED where an end is not there.
    """
    inputs = _matched(
        source.inputs,
        flatbuffer.inputs,
        flatbuffer.signature_inputs,
        converted.inputs,
        converted.input_order,
        converted.by_array,
        "inputs",
    )
    outputs = _matched(
        source.outputs,
        flatbuffer.outputs,
        flatbuffer.signature_outputs,
        converted.outputs,
        converted.output_order,
        converted.by_array,
        "outputs",
    )
    return replace(source, inputs=inputs, outputs=outputs)


def _matched(
    wanted: Tuple[Tensor, ...],
    found: Tuple[tflite_file.Tensor, ...],
    signature: Dict[str, tflite_file.Tensor],
    names: Tuple[str, ...],
    order: Tuple[int, ...],
    by_array: bool,
    what: str,
) -> Tuple[Tensor, ...]:
    by_name = {tensor.name: tensor for tensor in found}
    arrays = [array_of(tensor.tensor) for tensor in wanted]
    if all(name in signature for name in names):
        matched = [signature[name] for name in names]
    elif by_array and all(array in by_name for array in arrays):
        matched = [by_name[array] for array in arrays]
    elif len(found) == len(wanted) == len(order):
        matched = [found[order.index(index)] for index in range(len(wanted))]
    elif len(found) == len(wanted) == 1:
        matched = list(found)
    else:
        raise outputs_lost(what, _names(wanted), [tensor.name for tensor in found])
    return tuple(
        Tensor(name=one.name, tensor=other.name, dtype=other.dtype, shape=other.shape)
        for one, other in zip(wanted, matched)
    )


def _names(tensors: Tuple[Tensor, ...]) -> List[str]:
    return [tensor.name for tensor in tensors]
