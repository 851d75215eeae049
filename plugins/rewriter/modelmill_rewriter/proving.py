"""Proof by execution: a graph runs before the first change and after each, on the same inputs.

What is fed and fetched are the inputs and outputs that the model has in the end. A tensor that has been renamed is
found under the name that it had; one that only came to be on the way, or was cut off, cannot be compared before that.
"""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from modelmill_worker import graph_def, installed_tensorflow, weights_beside
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.signature import Signature

from modelmill_rewriter._tensor import Tensor, parse_tensor
from modelmill_rewriter.interfaces import interface_of, signature_after
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules_api import GraphIndex, Pass, Report, Target

Arrays = Dict[str, np.ndarray]
Progress = Callable[[float, str], None]
#: Gives the contents that lie beside a graph, by the names of its constants.
ContentsOf = Callable[[GraphDef], Dict[str, weights_beside.Content]]


@dataclass(frozen=True)
class _Run:
    """What a graph gave out, by the names of the final signature's outputs; or why it could not be run."""

    outputs: Arrays = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True)
class _Stage:
    """The graph after a pass that changed something."""

    rule: str
    fired: int
    run: _Run


def prove(
    read: Callable[[], GraphDef],
    named: Signature,
    passes: Sequence[Pass],
    target: Target,
    inputs: Arrays,
    contents_of: ContentsOf,
    progress: Progress,
) -> Dict[str, Any]:
    """The fact `proof`.

    read: reads the graph, each time anew: a rewrite uses it up.
    inputs: what to feed, by the names of the inputs that the model has after the passes.

    `outputs`: what all passes together change: list of {`output`, `max_abs_difference`, `of_range`}, relative to the
    range of the output before; None where there is no number. `rules`: the same for each pass that changed something,
    in order, against the graph before the first: {`rule`, `fired`, `outputs`}, or {`rule`, `fired`, `why_not`} where
    the graph could not be run. `tensorflow`: the version that ran them.

    Raises StepError PROOF_IMPOSSIBLE where the graph cannot be run as it was, and what `rewrite_graph` raises.
    """
    import tensorflow as tf

    final = _final_interface(read(), named, passes, target)
    before = _run(read(), final.names_in({}), inputs, contents_of)
    if before.failure:
        raise StepError(
            "PROOF_IMPOSSIBLE",
            "The model cannot be run as it was before the first change, with the inputs and outputs that it has after "
            "the last: {}. Leave out --prove, or the edits that change them.".format(before.failure),
            {"error": before.failure},
        )
    stages: List[_Stage] = []

    def after_each(item: Pass, graph: GraphIndex, report: Report) -> None:
        if report.fired:
            progress(len(stages) / (len(passes) + 1), "running what {} made".format(item.name))
            first_names = {graph.first_name(name): name for name in graph.names()}
            run = _run(graph.to_graph_def(), final.names_in(first_names), inputs, contents_of)
            stages.append(_Stage(item.name, len(report.fired), run))

    rewrite_graph(read(), interface_of(named), passes, target, None, after_each)
    return {
        "outputs": _differences(before, stages[-1].run if stages else before),
        "rules": [_stage_facts(before, stage) for stage in stages],
        "tensorflow": tf.__version__,
    }


@dataclass(frozen=True)
class _Named:
    """Feeds and fetches of one graph: tensors by the names of the final signature."""

    inputs: Dict[str, str]
    outputs: Dict[str, str]
    initializers: Tuple[str, ...]


@dataclass(frozen=True)
class _Final:
    """The inputs and outputs of the model after all passes, by the names that their nodes had at first."""

    inputs: Dict[str, Tensor]
    outputs: Dict[str, Tensor]
    initializers: Tuple[str, ...]

    def names_in(self, now: Dict[str, str]) -> _Named:
        """now: what nodes are called in the graph that is to be run, by what they were called at first."""

        def spelled(tensors: Dict[str, Tensor]) -> Dict[str, str]:
            return {
                name: "{}:{}".format(now.get(tensor.node, tensor.node), tensor.output)
                for name, tensor in tensors.items()
            }

        return _Named(
            spelled(self.inputs), spelled(self.outputs), tuple(now.get(name, name) for name in self.initializers)
        )


def _final_interface(graph: GraphDef, named: Signature, passes: Sequence[Pass], target: Target) -> _Final:
    index = rewrite_graph(graph, interface_of(named), passes, target).index
    after = signature_after(named, index)

    def first(spelling: str) -> Tensor:
        tensor = parse_tensor(spelling)
        return Tensor(index.first_name(tensor.node), tensor.output)

    return _Final(
        {tensor.name: first(tensor.tensor) for tensor in after.inputs},
        {tensor.name: first(tensor.tensor) for tensor in after.outputs},
        tuple(index.first_name(name) for name in after.initializers),
    )


def _run(graph: GraphDef, names: _Named, inputs: Arrays, contents_of: ContentsOf) -> _Run:
    import tensorflow as tf

    v1 = installed_tensorflow.v1()
    contents = contents_of(graph)
    graph = graph_def.copy(graph)
    weights = {name + ":0": contents[name]() for name in weights_beside.become_placeholders(graph)}
    config = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1, allow_soft_placement=True)
    opened = tf.Graph()
    try:
        with opened.as_default():
            v1.import_graph_def(graph, name="")
        with v1.Session(graph=opened, config=config) as session:
            for name in names.initializers:
                session.run(opened.get_operation_by_name(name), weights)
            feeds = {**weights, **{names.inputs[name]: value for name, value in inputs.items() if name in names.inputs}}
            ordered = sorted(names.outputs)
            values = session.run([names.outputs[name] for name in ordered], feeds)
    except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
        return _Run(failure=str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else repr(error))
    return _Run({name: np.asarray(value) for name, value in zip(ordered, values)})


def _stage_facts(before: _Run, stage: _Stage) -> Dict[str, Any]:
    facts: Dict[str, Any] = {"rule": stage.rule, "fired": stage.fired}
    if stage.run.failure:
        facts["why_not"] = stage.run.failure
    else:
        facts["outputs"] = _differences(before, stage.run)
    return facts


def _differences(before: _Run, after: _Run) -> List[Dict[str, Any]]:
    return [_difference(name, before.outputs[name], after.outputs.get(name)) for name in sorted(before.outputs)]


def _difference(name: str, before: np.ndarray, after: Optional[np.ndarray]) -> Dict[str, Any]:
    facts: Dict[str, Any] = {"output": name, "max_abs_difference": None, "of_range": None}
    numeric = before.dtype.kind in "fiub" and after is not None and after.dtype.kind in "fiub"
    if not numeric or after is None or before.shape != after.shape:
        return facts
    one, other = before.astype(np.float64), after.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        off = np.where(same, 0.0, np.abs(one - other))
    if not np.all(np.isfinite(off)):
        return facts
    largest = float(off.max()) if off.size else 0.0
    finite = one[np.isfinite(one)]
    span = float(finite.max() - finite.min()) if finite.size else 0.0
    facts.update(max_abs_difference=largest, of_range=largest / span if span else (0.0 if not largest else None))
    return facts
