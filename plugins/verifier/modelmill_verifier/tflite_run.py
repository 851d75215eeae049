"""The edge ``run-tflite``: a .tflite run by TensorFlow's interpreter, in this process.

Quantised inputs are made of the real ones, and quantised outputs made real again: what is compared is in real units.
"""

from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
from modelmill_worker import Step, StepError
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

from modelmill_verifier.quantization import quantization_of
from modelmill_verifier.run_results import Arrays, RunResult, run_on_inputs
from modelmill_verifier.tflite_interpreter import allocate, explain, open_interpreter

#: A tensor as the interpreter describes it: name, index, shape, dtype, quantization.
Detail = Dict[str, Any]


def run_tflite(step: Step) -> Dict[str, Any]:
    """Run ``model.tflite`` on one thread; inputs with unknown dimensions are resized to the arrays given."""
    model = step.inputs["model"].path

    def run(signature: Signature, inputs: Arrays) -> RunResult:
        # It raises ValueError for a model that it cannot read, RuntimeError for one that it cannot run.
        try:
            return _interpret(model / "model.tflite", signature, inputs)
        except (RuntimeError, ValueError) as error:
            raise explain(error) from error

    return run_on_inputs(step, signatures.read(model), run)


def _interpret(path: Path, signature: Signature, inputs: Arrays) -> RunResult:
    import tensorflow as tf

    interpreter = open_interpreter(path)
    details = {detail["name"]: detail for detail in interpreter.get_input_details()}
    # An input that no output depends on may be gone from the model.
    used = [(tensor, details[tensor.tensor]) for tensor in signature.inputs if tensor.tensor in details]
    for tensor, detail in used:
        _resize(interpreter, detail, inputs[tensor.name], tensor)
    allocate(interpreter)
    for tensor, detail in used:
        interpreter.set_tensor(detail["index"], _stored(inputs[tensor.name], detail, tensor))
    interpreter.invoke()
    found = {detail["name"]: detail for detail in interpreter.get_output_details()}
    made = [(tensor, found[tensor.tensor]) for tensor in signature.outputs]
    return RunResult(
        {tensor.name: _real(interpreter.get_tensor(detail["index"]), detail) for tensor, detail in made},
        facts={"tensorflow": tf.__version__, "quantized": _quantized(used + made)},
    )


def _quantized(pairs: List[Tuple[Tensor, Detail]]) -> Dict[str, Any]:
    """How the quantised inputs and outputs are stored, by name."""
    stored = {tensor.name: quantization_of(detail) for tensor, detail in pairs}
    return {name: quantization.facts() for name, quantization in stored.items() if quantization is not None}


def _resize(interpreter: Any, detail: Detail, values: np.ndarray, tensor: Tensor) -> None:
    if tuple(detail["shape"]) == values.shape:
        return
    if not _fits(values.shape, tensor):
        raise StepError(
            "INPUT_MISMATCH",
            "The model's input {} has shape {}, and the inputs of the check have {}. Give the check the same "
            "input shapes as the conversion.".format(tensor.name, list(tensor.shape or ()), list(values.shape)),
            {"input": tensor.name, "shape": list(tensor.shape or ()), "given": list(values.shape)},
        )
    interpreter.resize_tensor_input(detail["index"], np.array(values.shape, dtype=np.int32))


def _fits(shape: Tuple[int, ...], tensor: Tensor) -> bool:
    if tensor.shape is None:
        return True
    return len(shape) == len(tensor.shape) and all(known in (-1, size) for known, size in zip(tensor.shape, shape))


def _stored(values: np.ndarray, detail: Detail, tensor: Tensor) -> np.ndarray:
    """Real values as the model's input holds them."""
    quantization = quantization_of(detail)
    if quantization is not None and values.dtype.kind in "biuf":
        return quantization.quantise(values)
    return _cast(values, detail["dtype"], tensor)


def _real(values: np.ndarray, detail: Detail) -> np.ndarray:
    """What an output means."""
    quantization = quantization_of(detail)
    return values if quantization is None else quantization.dequantise(values)


def _cast(values: np.ndarray, dtype: Any, tensor: Tensor) -> np.ndarray:
    if not np.can_cast(values.dtype, dtype, "same_kind"):
        raise StepError(
            "INPUT_MISMATCH",
            "The model's input {} takes {}, and the inputs of the check are {}.".format(
                tensor.name, np.dtype(dtype).name, values.dtype.name
            ),
            {"input": tensor.name, "dtype": np.dtype(dtype).name, "given": values.dtype.name},
        )
    return values.astype(dtype)
