"""Run by an environment's Python, once for each measurement: rewrites a frozen graph, from file to file.

    rewriting_process.py WAY GRAPH TRANSFORMS RESULT

WAY: `modelmill`, or `tool` (TensorFlow's Graph Transform Tool, handed the file's bytes as its command does it).
The graph leads from `x` to `y`. TRANSFORMS: as the tool spells them.
Prints JSON: seconds without imports, those of the imports, peak resident memory in bytes, that after the imports alone,
bytes and nodes of the result where they are known.
"""

import json
import sys
import time
from pathlib import Path


def by_modelmill(graph, transforms, result):
    from modelmill_rewriter import _preload
    from modelmill_rewriter.rewriting import rewrite_graph
    from modelmill_rewriter.rules_api import Interface, Target, Tensor
    from modelmill_rewriter.sequences import passes_for
    from modelmill_worker import graph_def, graph_stream

    _preload()
    graph_def.new_graph()
    yield
    passes = passes_for("", (transforms,), ())
    interface = Interface((Tensor("x"),), (Tensor("y"),))
    rewritten = rewrite_graph(graph_def.read(graph), interface, passes, Target())
    graph_stream.write(result, rewritten.graph, {})


def by_tool(graph, transforms, result):
    # The package of this name first: the one below is made of what it imports.
    from tensorflow.tools.graph_transforms import TransformGraph  # noqa: F401, I001
    from tensorflow.python.framework import errors
    from tensorflow.python.pywrap_tensorflow import TransformGraphWithStringInputs

    yield
    with errors.raise_exception_on_not_ok_status() as status:
        result.write_bytes(TransformGraphWithStringInputs(graph.read_bytes(), b"x", b"y", transforms.encode(), status))


def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main():
    way, graph, transforms, result = sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    started = time.perf_counter()
    work = {"modelmill": by_modelmill, "tool": by_tool}[way](graph, transforms, result)
    next(work)
    imported, begun = peak(), time.perf_counter()
    for _ in work:
        pass
    seconds = time.perf_counter() - begun
    told = {"seconds": seconds, "importing": begun - started, "peak": peak(), "imported": imported}
    print(json.dumps({**told, "size": result.stat().st_size}))


if __name__ == "__main__":
    main()
