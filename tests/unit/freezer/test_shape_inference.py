"""The shapes that TensorFlow infers for a frozen graph that a newer one wrote."""

import pytest
from modelmill_worker import graph_def, op_versions, tensors
from modelmill_worker.signature import Tensor

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")

FLOAT = 1
VERSION = op_versions.minor_version(tf.__version__)


def product(**attributes):
    """The product of a [2, 3] placeholder with itself transposed, as the newest TensorFlow spells it."""
    graph = graph_def.new_graph()
    x = graph.node.add(name="x", op="Placeholder")
    x.attr["dtype"].type = FLOAT
    tensors.encode_shape((2, 3), x.attr["shape"].shape)
    y = graph.node.add(name="y", op="MatMul", input=["x", "x"])
    y.attr["T"].type = FLOAT
    y.attr["transpose_b"].b = True
    for name, value in attributes.items():
        y.attr[name].b = value
    return graph


def infer(graph):
    from modelmill_freezer._tensorflow import infer_outputs

    return infer_outputs(graph, [Tensor("y", "y:0", "float32", None)])


def test_leaves_out_an_attribute_at_its_default_and_says_so():
    graph = product(grad_a=False, grad_b=False)
    (output,), notes = infer(graph)
    assert output.shape == (2, 2)
    assert "grad_a" in graph.node[1].attr
    if op_versions.judge(graph)[VERSION].dropped:
        assert notes == (
            "Shapes of the outputs were inferred without MatMul.grad_a, MatMul.grad_b, "
            f"which TensorFlow {VERSION} does not know; they have their defaults.",
        )
    else:
        assert notes == ()


def test_says_why_shapes_were_not_inferred():
    graph = product()
    graph.node[1].op = "Unheard"
    (output,), (note,) = infer(graph)
    assert output.shape is None
    assert note.startswith("Shapes of the outputs were not inferred: ")
