"""The edge ``run-tflite``: a .tflite run by TensorFlow's interpreter, in this process."""

import inspect
import re
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np
from modelmill_worker import Step, StepError
from modelmill_worker import signature as signatures
from modelmill_worker.errors import TOOL
from modelmill_worker.signature import Signature, Tensor

from modelmill_verifier.run_results import Arrays, RunResult, run_failed, run_on_inputs


def run_tflite(step: Step) -> Dict[str, Any]:
    """Run ``model.tflite`` on one thread; inputs with unknown dimensions are resized to the arrays given."""
    import tensorflow as tf

    model = step.inputs["model"].path

    def run(signature: Signature, inputs: Arrays) -> RunResult:
        outputs = _interpret(model / "model.tflite", signature, inputs)
        return RunResult(outputs, facts={"tensorflow": tf.__version__})

    return run_on_inputs(step, signatures.read(model), run)


def _interpret(path: Path, signature: Signature, inputs: Arrays) -> Arrays:
    import tensorflow as tf

    what = "TFLite's interpreter of TensorFlow " + tf.__version__
    # The interpreter raises ValueError for a model that it cannot read, RuntimeError for one that it cannot run.
    try:
        interpreter = _new_interpreter(path)
        details = {detail["name"]: detail for detail in interpreter.get_input_details()}
        # An input that no output depends on may be gone from the model.
        used = [tensor for tensor in signature.inputs if tensor.tensor in details]
        for tensor in used:
            _resize(interpreter, details[tensor.tensor], inputs[tensor.name], tensor)
        interpreter.allocate_tensors()
        for tensor in used:
            detail = details[tensor.tensor]
            interpreter.set_tensor(detail["index"], _cast(inputs[tensor.name], detail["dtype"], tensor))
        interpreter.invoke()
        found = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
        return {tensor.name: interpreter.get_tensor(found[tensor.tensor]) for tensor in signature.outputs}
    except (RuntimeError, ValueError) as error:
        raise _too_old(what, error) or run_failed(what, error) from error


def _too_old(what: str, error: Exception) -> Optional[StepError]:
    """The error for an interpreter that lacks an operator, or knows only an older form of it; None for other errors."""
    found = re.search(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'", str(error))
    if found is None:
        return None
    return StepError(
        "INTERPRETER_TOO_OLD",
        "{} is older than the model: it does not know {} in version {}. Run the check in an environment with a newer "
        "TensorFlow, or convert with an older one.".format(what, found.group(1), found.group(2)),
        {"operator": found.group(1), "version": int(found.group(2))},
        TOOL,
        str(error),
    )


def _new_interpreter(path: Path) -> Any:
    import tensorflow as tf

    # More threads could change the order in which sums are taken. Old interpreters have one and no such parameter.
    if "num_threads" in inspect.signature(tf.lite.Interpreter.__init__).parameters:
        return tf.lite.Interpreter(model_path=str(path), num_threads=1)
    return tf.lite.Interpreter(model_path=str(path))


def _resize(interpreter: Any, detail: Dict[str, Any], values: np.ndarray, tensor: Tensor) -> None:
    if tuple(detail["shape"]) == values.shape:
        return
    if not _fits(values.shape, tensor):
        raise StepError(
            "INPUT_MISMATCH",
            "The model's input {} has shape {}, and the inputs of the check have {}. Give the check the same "
            "input shapes as the conversion.".format(tensor.name, list(tensor.shape or ()), list(values.shape)),
            {"input": tensor.name, "shape": list(tensor.shape or ()), "given": list(values.shape)},
        )
    interpreter.resize_tensor_input(detail["index"], list(values.shape))


def _fits(shape: Tuple[int, ...], tensor: Tensor) -> bool:
    if tensor.shape is None:
        return True
    return len(shape) == len(tensor.shape) and all(known in (-1, size) for known, size in zip(tensor.shape, shape))


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
