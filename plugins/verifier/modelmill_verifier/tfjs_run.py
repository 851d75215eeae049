"""The edge ``run-tfjs``: a TensorFlow.js graph model run by Node, with TensorFlow.js's own wasm backend.

Node is found on PATH. TensorFlow.js is found through the environment variable MODELMILL_NODE_MODULES, which names the
``node_modules`` of the worker's environment (``tfjs-node-4``). Without either the check is skipped.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from modelmill_worker import Step, StepError
from modelmill_worker import signature as signatures
from modelmill_worker.errors import TOOL
from modelmill_worker.signature import Signature, Tensor

from modelmill_verifier.run_results import Arrays, RunResult, run_failed, run_on_inputs

MODULES = "MODELMILL_NODE_MODULES"
SCRIPT = Path(__file__).with_name("run_tfjs_model.js")
_PACKAGE = Path("@tensorflow") / "tfjs-core" / "package.json"

#: How the arrays of TensorFlow.js's types lie in a file: in C order, as numpy names it.
_STORAGE = {"float32": "<f4", "int32": "<i4", "bool": "|u1", "complex64": "<c8"}


def run_tfjs(step: Step) -> Dict[str, Any]:
    """Run a graph model in Node, or tell as `skipped` what is missing for that."""
    model = step.inputs["model"].path

    def run(signature: Signature, inputs: Arrays) -> RunResult:
        missing = why_not_here()
        if missing is not None:
            return RunResult(skipped=missing)
        return _run_in_node(model, signature, inputs, step.scratch)

    return run_on_inputs(step, signatures.read(model), run)


def why_not_here() -> Optional[str]:
    """What this machine lacks for running TensorFlow.js, as a sentence; None where it has everything."""
    if shutil.which("node") is None:
        return "The TensorFlow.js model was not run: there is no Node on PATH. Install Node 18 or newer."
    folder = os.environ.get(MODULES)
    if not folder or not (Path(folder) / _PACKAGE).is_file():
        return (
            "The TensorFlow.js model was not run: {} names no folder with TensorFlow.js. Run `npm ci` beside the "
            "package.json of the environment tfjs-node-4 and set it to the node_modules made there.".format(MODULES)
        )
    return None


def _run_in_node(model: Path, signature: Signature, inputs: Arrays, scratch: Path) -> RunResult:
    job = scratch / "job.json"
    result = scratch / "result.json"
    job.write_text(json.dumps(_job(model, signature, inputs, scratch, result)), encoding="utf-8")
    log = _node(job)
    if not result.exists():
        raise run_failed("Node", RuntimeError(log or "it ended without a word"))
    told = json.loads(result.read_text(encoding="utf-8"))
    if "error" in told:
        raise run_failed("TensorFlow.js", RuntimeError(told["error"]))
    return RunResult(
        outputs={output["name"]: _read(output) for output in told["outputs"]},
        facts={"tfjs": told["version"], "backend": told["backend"], "node": told["node"]},
        notes=list(told["notes"]),
    )


def _job(model: Path, signature: Signature, inputs: Arrays, scratch: Path, result: Path) -> Dict[str, Any]:
    return {
        "model": str(model / "model.json"),
        "modules": os.environ[MODULES],
        "inputs": [
            _write(inputs[tensor.name], tensor, scratch / "input_{}.bin".format(number))
            for number, tensor in enumerate(signature.inputs)
        ],
        "outputs": [
            {"name": tensor.name, "tensor": _array(tensor), "file": str(scratch / "output_{}.bin".format(number))}
            for number, tensor in enumerate(signature.outputs)
        ],
        "result": str(result),
    }


def _array(tensor: Tensor) -> str:
    """A tensor as TensorFlow.js names it: without the number of the node's first output."""
    return tensor.tensor[:-2] if tensor.tensor.endswith(":0") else tensor.tensor


def _write(values: np.ndarray, tensor: Tensor, path: Path) -> Dict[str, Any]:
    if tensor.dtype not in _STORAGE:
        raise StepError(
            "INPUT_MISMATCH",
            "TensorFlow.js's input {} takes {}, which the verifier cannot hand over.".format(tensor.name, tensor.dtype),
            {"input": tensor.name, "dtype": tensor.dtype},
            TOOL,
        )
    path.write_bytes(np.ascontiguousarray(values).astype(_STORAGE[tensor.dtype]).tobytes())
    return {
        "tensor": tensor.tensor.split(":")[0],
        "dtype": tensor.dtype,
        "shape": list(values.shape),
        "file": str(path),
    }


def _read(output: Dict[str, Any]) -> np.ndarray:
    values = np.frombuffer(Path(output["file"]).read_bytes(), dtype=_STORAGE[output["dtype"]])
    return values.reshape(output["shape"]).astype(output["dtype"])


def _node(job: Path) -> str:
    """Run the script to its end and return what it printed; its deadline is the step's."""
    node = shutil.which("node")
    assert node is not None
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NODE_", "npm_"))}
    command: List[str] = [node, str(SCRIPT), str(job)]
    # Node ends with its standard input, so it cannot outlive a step process that is killed.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    assert process.stdout is not None
    log = process.stdout.read().decode("utf-8", "replace")
    process.wait()
    if log:
        print(log, end="")  # noqa: T201 - a step's output is its log
    return log
