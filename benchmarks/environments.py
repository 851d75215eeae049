"""Every environment: to a result from never installed, from installed and from warm, and against its own command.

The model is that of the environments' smoke test, small enough that what is measured is the way and not the converter.
"""

import os
import shutil
import statistics
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from modelmill.client import Client, Source, catalog_pb2, collect, conversion_pb2

from benchmarks.farm import PROJECT, Farm, timed
from benchmarks.row import Row, seconds

ROUNDS = 3
SMOKE = PROJECT / "workers" / "environments" / "smoke" / "graph.pbtxt"
Environment = catalog_pb2.Environment

#: Run by an environment's Python: the smoke graph as this TensorFlow writes it, default attributes included, which the
#: first converters cannot do without.
_WRITE_GRAPH = """
import sys
import tensorflow as tf
from google.protobuf import text_format
v1 = tf.compat.v1 if hasattr(tf, "compat") and hasattr(tf.compat, "v1") else tf
graph = v1.GraphDef()
text_format.Merge(open(sys.argv[1]).read(), graph)
with tf.Graph().as_default() as imported:
    v1.import_graph_def(graph, name="")
    open(sys.argv[2], "wb").write(imported.as_graph_def().SerializeToString())
"""


def measure(farm: Farm) -> list[Row]:
    source = collect(SMOKE)
    rows = []
    for environment in _converting(farm.client):
        print(f"    {environment.name}", flush=True)
        rows.append(_measure(farm, environment, source))
    return rows


def _converting(client: Client) -> Iterator[catalog_pb2.Environment]:
    """The environments that hold a TensorFlow and nothing more, oldest first; those that cannot be had are told."""
    plain = [environment for environment in client.list_environments() if list(environment.provides) == ["tensorflow"]]
    for environment in sorted(plain, key=_version):
        if environment.state == Environment.UNAVAILABLE:
            print(f"    {environment.name} is left out: {environment.unavailable_reason}", flush=True)
        else:
            yield environment


def _version(environment: catalog_pb2.Environment) -> tuple[int, ...]:
    return tuple(int(part) for part in environment.provides["tensorflow"].split("."))


def _measure(farm: Farm, environment: catalog_pb2.Environment, source: Source) -> Row:
    never = _never_installed(farm, environment, source)
    python = farm.python_of(environment.name)

    def convert() -> None:
        _convert(farm.client, environment, source, farm.folder / "out")

    installed = timed(convert)  # this coordinator has no worker of this environment yet
    command = _command(environment, python, farm.folder)
    warm, commands, refusal = [], [], ""
    for _ in range(ROUNDS):
        warm.append(timed(convert))
        try:
            commands.append(timed(command))
        except subprocess.CalledProcessError as error:
            refusal = _last_line(error)
    ours = f"never installed {never:.1f} s, installed {installed:.1f} s, warm {seconds(warm)}"
    if not commands:
        return Row(environment.name, ours, f"its command fails: {refusal}", "", "", None)
    faster = statistics.median(commands) / statistics.median(warm)
    return Row(environment.name, ours, f"{seconds(commands)}, its own command", f"{faster:.0f}x faster", "", None)


def _never_installed(farm: Farm, environment: catalog_pb2.Environment, source: Source) -> float:
    """From a machine that has neither this environment nor its packages; what reads and rewrites graphs is there."""
    folder = farm.folder / f"never-{environment.name}"
    folder.mkdir()
    variables = {
        "MODELMILL_CACHE": str(folder / "cache"),
        "MODELMILL_HOME": str(folder / "home"),
        "UV_CACHE_DIR": str(folder / "packages"),
    }
    try:
        with Farm(folder, variables) as fresh:
            fresh.python_of("base")
            fresh.client.list_plugins()
            return timed(lambda: _convert(fresh.client, environment, source, folder / "out"))
    finally:
        shutil.rmtree(folder)


def _convert(client: Client, environment: catalog_pb2.Environment, source: Source, output: Path) -> None:
    target = conversion_pb2.TargetRequest(name="tflite", tensorflow=environment.provides["tensorflow"])
    spec = conversion_pb2.ConversionSpec(
        targets=[target],
        verification=conversion_pb2.VerificationRequest(skip=True),
        salt=uuid.uuid4().hex,
    )
    conversion = client.convert(source, spec, output)
    if conversion.state != conversion_pb2.Conversion.SUCCEEDED:
        raise RuntimeError(f"{environment.name}: {conversion.failure.reason}: {conversion.failure.message}")


def _command(environment: catalog_pb2.Environment, python: Path, folder: Path) -> Callable[[], object]:
    """What people call in that version to convert a frozen graph."""
    graph, output = folder / f"{environment.name}.pb", folder / "command.tflite"
    variables = {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "1",
    }
    subprocess.run([python, "-c", _WRITE_GRAPH, SMOKE, graph], env=variables, check=True, capture_output=True)
    ends = ["--input_arrays=image", "--output_arrays=scores", f"--output_file={output}"]
    if _version(environment) < (1, 9):
        shapes = ["--input_format=TENSORFLOW_GRAPHDEF", "--output_format=TFLITE", "--input_shapes=1,8,8,3"]
        command = [python.with_name("toco"), f"--input_file={graph}", *shapes, "--inference_type=FLOAT", *ends]
    else:
        switch = ["--enable_v1_converter"] if _version(environment) >= (2, 0) else []
        command = [python.with_name("tflite_convert"), *switch, f"--graph_def_file={graph}", *ends]
    return lambda: subprocess.run(command, env=variables, check=True, capture_output=True)


def _last_line(error: subprocess.CalledProcessError) -> str:
    lines = (error.stderr or error.stdout or b"").decode(errors="replace").strip().splitlines()
    return lines[-1][:120] if lines else f"exit code {error.returncode}, without a word"
