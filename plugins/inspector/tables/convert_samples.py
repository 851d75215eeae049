"""Runs in an environment: what its TFLite converter makes of each sample. Python 3.6 and newer.

    python convert_samples.py SAMPLES RESULTS

A sample may abort the process or stand still, so a fork does the work, and its parent, which has done nothing but
import TensorFlow, makes another one for what is left. RESULTS is JSON: {"version": ..., "converter": ...,
"attempts": {key: {"plain" or "select" or "custom": {"made": true, "custom": [names]} or {"refused": sentence}}}}.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import program_graphs
import sample_graphs
import tensorflow as tf
from modelmill_tflite_quantizer import engine, tflite_file
from modelmill_tflite_quantizer.generations import Generation, generation_of
from modelmill_tflite_quantizer.request import Request
from modelmill_tflite_quantizer.sources import FrozenGraph
from modelmill_worker.signature import Signature, Tensor

#: How a conversion may be tried, in this order.
PLAIN, SELECT, CUSTOM = "plain", "select", "custom"

#: A converter that has said nothing for so long never will.
SECONDS = 40

#: What became of the attempts at one sample, by how they were made.
Attempts = Dict[str, Dict[str, Any]]

v1 = tf.compat.v1 if hasattr(tf, "compat") and hasattr(tf.compat, "v1") else tf


def main(samples_file: str, results_file: str) -> None:
    """Try all samples and programs."""
    generation = generation_of(tf.__version__)
    importlib.import_module(generation.module)  # tf.contrib takes half a second: once, and not in each fork
    work = {sample.key: sample for sample in sample_graphs.read(Path(samples_file))}  # type: Dict[str, Any]
    work.update({name: name for name in program_graphs.PROGRAMS})
    found = {key: {} for key in work}  # type: Dict[str, Attempts]
    folder = Path(tempfile.mkdtemp(prefix="samples-"))
    try:
        while any(_left(attempts, generation) for attempts in found.values()):
            _in_a_fork(work, found, generation, folder)
    finally:
        shutil.rmtree(str(folder))
    told = {"version": tf.__version__, "converter": generation.converters[0], "attempts": found}
    Path(results_file).write_text(json.dumps(told, indent=0), encoding="utf-8")


def _left(attempts: Attempts, generation: Generation) -> List[str]:
    """The ways in which a sample is still to be tried, of which the first is next."""
    if any(_succeeded(way, result) or "unknown" in result for way, result in attempts.items()):
        return []
    ways = [PLAIN, SELECT, CUSTOM] if generation.select_ops_switch else [PLAIN, CUSTOM]
    return [way for way in ways if way not in attempts]


def _succeeded(way: str, result: Dict[str, Any]) -> bool:
    """Whether nothing but what was asked for is in the result: TOCO before 1.8 makes custom operators unasked."""
    allowed = {PLAIN: (), SELECT: ("Flex",), CUSTOM: ("",)}[way]
    return "made" in result and all(name.startswith(allowed) for name in result["custom"])


def _in_a_fork(work: Dict[str, Any], found: Dict[str, Attempts], generation: Generation, folder: Path) -> None:
    """Let a fork try what is left, and note what it did; the attempt at which it ended counts as refused."""
    log = folder / "log"
    log.write_text("")
    child = os.fork()
    if child == 0:
        _try_all(work, found, generation, folder)
    died = _wait(child, log)
    for key, way, result in _results(log):
        found[key][way] = result or {"refused": "The converter " + died}


def _results(log: Path) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
    """Each attempt begun, with its result, which is empty where there was none."""
    begun = None
    for line in log.read_text().splitlines():
        key, way, result = json.loads(line)
        if result is None:
            begun = key, way
        else:
            yield key, way, result
            begun = None
    if begun is not None:
        yield begun[0], begun[1], {}


def _wait(child: int, log: Path) -> str:
    """How the fork ended; it is ended where it says nothing more."""
    size, since = -1, time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return "was ended by a signal." if os.WIFSIGNALED(status) else "ended."
        now = log.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > SECONDS:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def _try_all(work: Dict[str, Any], found: Dict[str, Attempts], generation: Generation, folder: Path) -> None:
    """The fork's part. Does not return."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        for number in (signal.SIGABRT, signal.SIGSEGV):
            signal.signal(number, signal.SIG_DFL)
        with (folder / "log").open("a") as log:
            for key, sample in work.items():
                attempts = dict(found[key])
                while _left(attempts, generation):
                    way = _left(attempts, generation)[0]
                    log.write(json.dumps([key, way, None]) + "\n")
                    log.flush()
                    attempts[way] = _try(sample, way, generation, folder / "graph.pb")
                    log.write(json.dumps([key, way, attempts[way]]) + "\n")
                    log.flush()
    finally:
        os._exit(0)


def _try(sample: Any, way: str, generation: Generation, file: Path) -> Dict[str, Any]:
    try:
        signature = _write(sample, file)
    except (sample_graphs.UnknownOperationError, AttributeError) as error:
        return {"unknown": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever stands against such a graph in this version is told
        return {"unknown": "{}: {}".format(type(error).__name__, error)[:300]}
    request = Request(
        source=FrozenGraph(file, signature),
        signature=signature,
        converter=generation.converters[0],
        allow_select_tf_ops=way == SELECT,
        allow_custom_ops=way == CUSTOM,
        apart=False,
    )
    try:
        content = engine.run(request, generation).content
        return {"made": True, "custom": list(tflite_file.read(content).custom_operators)}
    except Exception as error:  # noqa: BLE001 - what converters raise has no common base
        return {"refused": "{}: {}".format(type(error).__name__, error)[-400:]}


def _write(sample: Any, file: Path) -> Signature:
    """Write the graph into a file; its signature."""
    if isinstance(sample, str):
        return _write_program(sample, file)
    graph, placeholders = sample_graphs.build(sample, _definition, v1)
    with tf.Graph().as_default() as imported:
        v1.import_graph_def(graph, name="")
        output = imported.get_tensor_by_name("operation:0")
        file.write_bytes(imported.as_graph_def().SerializeToString())
    inputs = tuple(Tensor(name, name + ":0", dtype, shape) for name, dtype, shape in placeholders)
    shape = None if output.shape.ndims is None else tuple(-1 if n is None else n for n in output.shape.as_list())
    return Signature(inputs, (Tensor("operation", "operation:0", output.dtype.base_dtype.name, shape),))


def _write_program(name: str, file: Path) -> Signature:
    function, as_functions, _ = program_graphs.PROGRAMS[name]
    switch = "enable_control_flow_v2" if as_functions else "disable_control_flow_v2"
    if as_functions or hasattr(v1, switch):
        getattr(v1, switch)()
    with tf.Graph().as_default() as graph:
        output = function(tf, v1)
        file.write_bytes(graph.as_graph_def().SerializeToString())
    inputs = (Tensor("input_0", "input_0:0", "float32", program_graphs.SHAPE),)
    return Signature(inputs, (Tensor("out", output, "float32", None),))


def _definition(operation: str) -> Any:
    """This TensorFlow's definition of an operation; None where it has none."""
    from tensorflow.python.framework import op_def_registry

    if hasattr(op_def_registry, "get"):
        return op_def_registry.get(operation)
    return op_def_registry.get_registered_ops().get(operation)


if __name__ == "__main__":
    main(*sys.argv[1:])
