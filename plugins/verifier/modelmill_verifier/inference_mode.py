"""Runs a training graph in its own session as it would infer: by feeding tensors, with the graph as it is.

A setting is fed with its value for inference, the output of a dropout with its input, the moments of a batch with
their moving averages. The output of a batch normalisation that is fixed to training is fed with what it would be
in inference, computed here from its input, as the graph has come to it so far, and from its variables.
"""

from typing import Any, Dict, List, Set

import numpy as np
from modelmill_worker import StepError, graph_def
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.reference_run import ReferenceRun, StandIn
from modelmill_worker.signature import Tensor

from modelmill_verifier.run_results import Arrays

#: The default of the attribute (tensorflow/core/ops/nn_ops.cc, FusedBatchNorm).
_EPSILON = 1e-4


class InferenceMode:
    """How a graph is run: plainly, or with stand-ins for what training does otherwise."""

    def __init__(self, reference: ReferenceRun) -> None:
        self._reference = reference
        self._nodes: Dict[str, Any] = {}
        self._weights: Arrays = {}

    @property
    def unlike(self) -> str:
        """Why the graph cannot be run to compare with; empty where it can."""
        return self._reference.unlike

    @property
    def averages(self) -> Dict[str, str]:
        """Keys of the checkpoint for variables that take their moving averages."""
        return self._reference.averages

    def tensor_of(self, tensor: Tensor) -> str:
        """What to feed for an input."""
        return self._reference.inputs.get(tensor.name, graph_def.tensor_name(tensor.tensor))

    def prepare(self, graph: Any) -> None:
        """Keep a run with stand-ins from training: updates wait at control inputs, which are cut here, in place."""
        if self._reference.is_plain():
            return
        flow = Dataflow(graph)
        self._nodes = flow.nodes
        for node in graph.node:
            kept = [name for name in node.input if not graph_def.is_control(name) or flow.order_matters(name)]
            if len(kept) != len(node.input):
                del node.input[:]
                node.input.extend(kept)

    def feed_weights(self, weights: Arrays) -> None:
        """Feed these with every run, as they are: what the graph has as placeholders for its constants."""
        self._weights = weights

    def check(self, graph: Any, fetches: List[str], feeds: List[str]) -> None:
        """Raise StepError INPUT_NOT_FED where a run would wait for a queue that nobody fills."""
        flow = Dataflow(graph)
        given = {graph_def.node_name(name) for name in feeds + [item.tensor for item in self._reference.stand_ins]}
        read = [name for item in self._reference.stand_ins for name in (item.source, item.mean, item.variance) if name]
        waiting = [graph_def.node_name(name) for name in fetches + read]
        reached: Set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in reached or name in given:
                continue
            reached.add(name)
            waiting.extend(flow.feeders.get(name, []))
        queues = sorted(name for name in reached if name in flow.nodes and "Dequeue" in flow.nodes[name].op)
        if queues:
            raise StepError(
                "INPUT_NOT_FED",
                "The source waits for the queue behind {}, which nothing fills here. Name a tensor behind it as an "
                "input, or leave the verification out.".format(queues[0]),
                {"waiting": queues},
            )

    def tensors(self) -> List[str]:
        """The tensors that a run needs besides its own."""
        found: List[str] = []
        for item in self._reference.stand_ins:
            found.extend(name for name in (item.tensor, item.source, item.mean, item.variance) if name)
        return found

    def notes(self) -> List[str]:
        """What the report should say of such a run."""
        if not self._reference.stand_ins:
            return []
        return ["The source was built for training; its own session was run in inference mode."]

    def run(self, session: Any, fetches: Dict[str, str], feeds: Arrays) -> Arrays:
        """What the graph computes, in batches of the size that it takes."""
        batch = self._reference.batch
        count = max([len(value) for value in feeds.values() if value.ndim] or [0]) if batch else 0
        if count == 0:
            return self._run_once(session, fetches, feeds)
        parts = [
            self._run_part(session, fetches, feeds, slice(start, min(start + batch, count)))
            for start in range(0, count, batch)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in fetches}

    def _run_part(self, session: Any, fetches: Dict[str, str], feeds: Arrays, rows: slice) -> Arrays:
        """Some rows, filled up to a batch by repeating the last."""
        batch, wanted = self._reference.batch, rows.stop - rows.start
        indices = np.minimum(np.arange(rows.start, rows.start + batch), rows.stop - 1)
        filled = {name: value[indices] if value.ndim else value for name, value in feeds.items()}
        values = self._run_once(session, fetches, filled)
        return {name: np.asarray(value)[:wanted] for name, value in values.items()}

    def _run_once(self, session: Any, fetches: Dict[str, str], feeds: Arrays) -> Arrays:
        given: Dict[str, Any] = dict(self._weights, **feeds)
        for item in self._reference.stand_ins:
            given[item.tensor] = self._value(session, item, given)
        values: Arrays = session.run(fetches, given)
        return values

    def _value(self, session: Any, item: StandIn, given: Dict[str, Any]) -> Any:
        if item.value is not None:
            return item.value
        if not item.mean:
            return session.run(item.source, given)
        node = self._nodes[graph_def.node_name(item.tensor)]
        wanted = [item.source, node.input[1], node.input[2], item.mean, item.variance]
        return _normalised(node, *session.run([graph_def.tensor_name(name) for name in wanted], given))


def _normalised(
    node: Any, values: np.ndarray, scale: np.ndarray, shift: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """By channel: scale (values - mean) / sqrt(variance + epsilon) + shift."""
    epsilon = float(node.attr["epsilon"].f) if "epsilon" in node.attr else _EPSILON
    layout = node.attr["data_format"].s if "data_format" in node.attr else b"NHWC"
    by_channel = [-1] + [1] * (values.ndim - 2) if layout.startswith(b"NC") else [-1]
    factor = (scale / np.sqrt(variance.astype(np.float64) + epsilon)).reshape(by_channel)
    normalised = (values - mean.reshape(by_channel)) * factor + shift.reshape(by_channel)
    return normalised.astype(values.dtype)
