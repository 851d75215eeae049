"""Small graphs for tests: written as a list of nodes, rewritten by one rule, computed with numpy."""

from __future__ import annotations  # these tests run on Python 3.7 as well

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from image_kernels import KERNELS as IMAGE_KERNELS
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules_api import Dtype, GraphIndex, Interface, Pass, Report, Target, Tensor, set_attribute
from modelmill_rewriter.sequences import passes_for
from modelmill_worker import dataflow, graph_def, installed_tensorflow, tensors


def _dtype(name: str) -> Dtype:
    return Dtype(tensors.data_type_named(name).number)


@dataclass
class Graph:
    """A GraphDef in the making; every method returns the new node's name."""

    message: Any = field(default_factory=graph_def.new_graph)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def node(self, name: str, operation: str, *inputs: str, dtype: str = "float32", **attributes: Any) -> str:
        """A node with T, unless `T=None`; attributes as a rule gives them, and a str for a dtype's name."""
        node = self.message.node.add()
        node.name, node.op = name, operation
        node.input.extend(inputs)
        given = {"T": dtype, **attributes}
        for key, value in given.items():
            if value is not None:
                set_attribute(node, key, _dtype(value) if isinstance(value, str) else value)
        return name

    def placeholder(self, name: str, shape: tuple[int, ...] | None, dtype: str = "float32") -> str:
        node = self.message.node.add()
        node.name, node.op = name, "Placeholder"
        node.attr["dtype"].type = tensors.data_type_of(np.dtype(dtype)).number
        tensors.encode_shape(shape, node.attr["shape"].shape)
        self.inputs.append(name)
        return name

    def constant(self, name: str, value: Any, dtype: str = "float32") -> str:
        self.message.node.append(graph_def.new_constant(name, np.asarray(value, dtype)))
        return name

    def find(self, name: str) -> Any:
        return next(node for node in self.message.node if node.name == name)

    @property
    def interface(self) -> Interface:
        return Interface(
            tuple(Tensor(name) for name in self.inputs if name in {node.name for node in self.message.node}),
            tuple(Tensor(name) for name in self.outputs),
        )


@dataclass(frozen=True)
class Rewritten:
    """A graph after passes, with what they reported."""

    message: Any
    reports: tuple[Report, ...]
    index: GraphIndex

    @property
    def interface(self) -> Interface:
        return self.index.interface

    @property
    def operations(self) -> list[str]:
        return [node.op for node in self.message.node]

    @property
    def names(self) -> list[str]:
        return [node.name for node in self.message.node]

    @property
    def fired(self) -> int:
        return sum(len(report.fired) for report in self.reports)

    @property
    def refused(self) -> dict[str, str]:
        return {item.node: item.reason for report in self.reports for item in report.refused}

    def find(self, name: str) -> Any:
        return next(node for node in self.message.node if node.name == name)


def rewrite(graph: Graph, *rules: str | Pass, target: Target | None = None) -> Rewritten:
    """The graph after these rules, by name or as passes; the graph itself stays as it is."""
    passes = [rule if isinstance(rule, Pass) else passes_for("", (rule,), ()) for rule in rules]
    flat = [item for group in passes for item in (group if isinstance(group, tuple) else (group,))]
    message, reports, index = rewrite_graph(graph_def.copy(graph.message), graph.interface, flat, target or Target())
    return Rewritten(message, reports, index)


def evaluate(
    message: Any, feeds: dict[str, np.ndarray], outputs: list[str], seed: int = 0, initializers: tuple[str, ...] = ()
) -> list[np.ndarray]:
    """What the outputs are: by numpy where it has every operation, else by TensorFlow; skips where that is absent.

    NumPy follows no control dependencies. initializers: nodes that TensorFlow is to run first.
    """
    computed_here = _KERNELS.keys() | IMAGE_KERNELS.keys() | {"Const", "Placeholder", "RandomUniform", "Cast"}
    needed = dataflow.prune(message, [graph_def.node_name(name) for name in outputs]).node
    if all(node.op in computed_here for node in needed):
        return _by_numpy(message, feeds, outputs, seed)
    return _by_tensorflow(message, feeds, outputs, initializers)


def _by_tensorflow(
    message: Any, feeds: dict[str, np.ndarray], outputs: list[str], initializers: tuple[str, ...] = ()
) -> list[np.ndarray]:
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    tf = installed_tensorflow.v1()
    with tf.Graph().as_default():
        tf.import_graph_def(graph_def.copy(message), name="")
        with tf.Session() as session:
            for name in initializers:
                session.run(name)
            named = {graph_def.tensor_name(name): value for name, value in feeds.items()}
            return session.run([graph_def.tensor_name(name) for name in outputs], named)


def _by_numpy(message: Any, feeds: dict[str, np.ndarray], outputs: list[str], seed: int) -> list[np.ndarray]:
    nodes = {node.name: node for node in message.node}
    random = np.random.default_rng(seed)
    values: dict[str, Any] = {}

    def value(reference: str) -> np.ndarray:
        name = graph_def.node_name(reference)
        if name in feeds:
            return feeds[name]
        if name not in values:
            values[name] = computed(nodes[name])
        found = values[name]
        return np.asarray(found[graph_def.output_index(reference)]) if isinstance(found, list) else found

    def computed(node: Any) -> Any:
        if node.op == "Const":
            return graph_def.constant_value(node)
        operands = [value(reference) for reference in graph_def.data_inputs(node)]
        if node.op == "RandomUniform":
            return random.random(tuple(operands[0]), np.float32)
        if node.op == "Cast":
            return operands[0].astype(tensors.data_type(node.attr["DstT"].type).name)
        result = IMAGE_KERNELS[node.op](node, *operands) if node.op in IMAGE_KERNELS else _KERNELS[node.op](*operands)
        return result if isinstance(result, list) else np.asarray(result)

    return [value(name) for name in outputs]


def _fake_quant(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """With 8 bits and the wide range, in float32 as TensorFlow computes it."""
    step = (high - low) / np.float32(255)
    below = np.clip(np.floor(-low / step + np.float32(0.5)), 0, 255)
    low, high = -below * step, (np.float32(255) - below) * step
    return np.floor((np.clip(x, low, high) - low) / step + np.float32(0.5)) * step + low


_KERNELS: dict[str, Any] = {
    "Abs": np.abs,
    "Add": np.add,
    "AddV2": np.add,
    "CheckNumerics": lambda x: x,
    "ClipByValue": np.clip,
    "Erf": lambda x: np.vectorize(math.erf)(x).astype(x.dtype),
    "Erfc": lambda x: np.vectorize(math.erfc)(x).astype(x.dtype),
    "FakeQuantWithMinMaxVars": _fake_quant,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "Identity": lambda x: x,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mul": np.multiply,
    "Neg": np.negative,
    "PlaceholderWithDefault": lambda x: x,
    "PreventGradient": lambda x: x,
    "Pow": np.power,
    "Print": lambda x, *data: x,
    "RealDiv": np.divide,
    "Relu": lambda x: np.maximum(x, 0).astype(x.dtype),
    "Relu6": lambda x: np.clip(x, 0, 6).astype(x.dtype),
    "Reshape": lambda x, shape: np.reshape(x, tuple(shape)),
    "Select": np.where,
    "SelectV2": np.where,
    "Sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
    "Softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Sqrt": np.sqrt,
    "Square": np.square,
    "SquaredDifference": lambda x, y: np.square(x - y),
    "StopGradient": lambda x: x,
    "Sub": np.subtract,
    "Tanh": np.tanh,
    "ZerosLike": np.zeros_like,
}


@pytest.fixture
def graph() -> Graph:
    return Graph()


@pytest.fixture(scope="session")
def new_graph() -> Any:
    """Makes an empty graph, where a test needs several."""
    return Graph


@pytest.fixture(scope="session")
def run_rules() -> Any:
    return rewrite


@pytest.fixture(scope="session")
def compute() -> Any:
    return evaluate


@pytest.fixture(scope="session")
def compute_with_tensorflow() -> Any:
    """As `compute`, by TensorFlow whatever NumPy could do."""
    return _by_tensorflow
