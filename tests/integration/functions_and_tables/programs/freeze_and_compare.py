"""Freezes models and compares them with their sources, through the plug-ins' own edges; one JSON line for each.

Arguments: a folder for the steps, then for each model JSON: {"kind", "path", "options", "part", "input_shapes"}.
"""

import json
import shutil
import sys
from pathlib import Path

import modelmill_freezer
import modelmill_verifier
from modelmill_worker import Step, StepError, Tree, graph_def, options, signature

#: The edges that freeze, make inputs and run, by the source's kind.
EDGES = {
    "tf.checkpoint": ("freeze", "sample", "run-checkpoint"),
    "tf.saved_model": ("freeze-saved-model", "sample-saved-model", "run-saved-model"),
    "keras.h5": ("freeze-keras-h5", "sample-keras-h5", "run-keras-h5"),
    "keras.v3": ("freeze-keras", "sample-keras-v3", "run-keras-v3"),
}


class Steps:
    """Runs edges in folders of their own."""

    def __init__(self, folder):
        self.folder = folder
        self._count = 0
        self._edges = {}
        for module in (modelmill_freezer, modelmill_verifier):
            for plugin in module.modelmill_plugins():
                self._edges.update({edge.name: edge for edge in plugin.edges})

    def run(self, name, inputs, values):
        self._count += 1
        edge, folder = self._edges[name], self.folder / str(self._count)
        (folder / "output").mkdir(parents=True)
        (folder / "scratch").mkdir()
        kinds = dict(edge.inputs)
        step = Step(
            inputs={key: tree(kinds[key], path) for key, path in inputs.items()},
            options=options.parse(edge.options, values),
            output=folder / "output",
            scratch=folder / "scratch",
        )
        return edge.run(step), folder / "output"


def tree(kind, path):
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return Tree(kind, path, tuple(names))


def compare(steps, number, model):
    source = Path(model["path"])
    if source.is_file():
        folder = steps.folder / f"model-{number}"
        folder.mkdir(parents=True)
        shutil.copy(str(source), str(folder))
        source = folder
    freeze, sample, run = EDGES[model["kind"]]
    part = model.get("part", {})
    facts, frozen = steps.run(freeze, {"model": source}, dict(part, **model.get("options", {})))
    sampled = frozen if sample == "sample" else source
    shapes = {"input_shapes": model["input_shapes"]} if "input_shapes" in model else {}
    _, data = steps.run(sample, {"model": sampled}, dict(part, **shapes))
    _, reference = steps.run(run, {"model": source, "inputs": data}, part)
    _, outputs = steps.run("run-frozen-graph", {"model": frozen, "inputs": data}, {})
    report, _ = steps.run("compare", {"outputs": outputs, "reference": reference}, {"tolerance": 1e-6})
    graph = graph_def.read(frozen / "graph.pb")
    operations = {node.op for node in graph.node}
    operations.update(node.op for function in graph.library.function for node in function.node_def)
    return {
        "passed": report["passed"],
        "outputs": report["outputs"],
        "facts": facts,
        "operations": sorted(operations),
        "initializers": signature.read(frozen).initializers,
        "functions": len(graph.library.function),
    }


def main():
    steps = Steps(Path(sys.argv[1]))
    for number, text in enumerate(sys.argv[2:]):
        try:
            result = compare(steps, number, json.loads(text))
        except StepError as error:
            result = {"reason": error.reason, "message": error.message, "details": error.details}
        print("\n" + json.dumps(dict(result, model=number)), flush=True)


if __name__ == "__main__":
    main()
