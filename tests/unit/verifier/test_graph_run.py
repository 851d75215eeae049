"""Runs where TensorFlow is: in an environment of the farm, with this project on PYTHONPATH."""

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_verifier.datasets import Dataset
from modelmill_worker import StepError, graph_def, installed_tensorflow, op_versions
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
v1 = installed_tensorflow.v1()

SIGNATURE = Signature(
    (Tensor("x", "x:0", "float32", (-1, 3)), Tensor("n", "n:0", "int64", (-1,))),
    (Tensor("product", "y:0", "float32", (-1, 2)), Tensor("doubled", "z:0", "float32", (-1,))),
)
INPUTS = {"x": np.float32([[1, 2, 3], [4, 5, 6]]), "n": np.int64([7, -8])}


def build(kind):
    """The graph y = x w, z = 2 n, and its Saver."""
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        n = v1.placeholder(tf.int64, [None], name="n")
        partitioner = v1.fixed_size_partitioner(3) if kind.startswith("partitioned") else None
        w = v1.get_variable("w", [3, 2], use_resource=kind == "resource", partitioner=partitioner)
        tf.matmul(x, tf.convert_to_tensor(w), name="y")
        tf.identity(tf.cast(n, tf.float32) * 2.0, name="z")
        without_saver = graph.as_graph_def()
        version = v1.train.SaverDef.V1 if kind.endswith("v1") else v1.train.SaverDef.V2
        names = {"w/ExponentialMovingAverage": w} if kind == "renamed" else None
        saver = v1.train.Saver(names, write_version=version)
        initialise = v1.global_variables_initializer()
    return graph, saver, initialise, w, without_saver if "without-saver" in kind else None


@pytest.fixture(
    params=[
        *("reference", "resource", "renamed", "reference-without-saver-v1"),
        *("partitioned", "partitioned-v1", "partitioned-without-saver", "partitioned-without-saver-v1"),
    ]
)
def checkpoint(request, tmp_path):
    """A folder with graph.pb and a checkpoint, and the matrix in it."""
    graph, saver, initialise, w, without_saver = build(request.param)
    folder = tmp_path / "source"
    folder.mkdir()
    with v1.Session(graph=graph) as session, graph.as_default():
        session.run(initialise)
        matrix = session.run(tf.convert_to_tensor(w))
        saver.save(session, str(folder / "model.ckpt"), write_meta_graph=False, write_state=False)
    definition = without_saver or graph.as_graph_def()
    for node in definition.node:
        node.device = "/job:worker/task:3/device:GPU:1"  # Where it was trained, and not here.
    (folder / "graph.pb").write_bytes(definition.SerializeToString())
    return folder, matrix


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "inputs").mkdir()
    datasets.write(tmp_path / "inputs", Dataset(SIGNATURE, INPUTS))
    return tmp_path / "inputs"


def test_runs_the_source_with_every_kind_of_variable(run_edge, checkpoint, inputs):
    folder, matrix = checkpoint
    facts, output = run_edge("run-checkpoint", {"model": folder, "inputs": inputs})

    made = datasets.read(output)
    # One float32 product of three terms, taken in whatever order.
    np.testing.assert_allclose(made.arrays["product"], INPUTS["x"] @ matrix, rtol=1e-5, atol=1e-6)
    assert made.arrays["doubled"].tolist() == [14, -16]
    assert made.signature == SIGNATURE
    assert facts["tensorflow"] == tf.__version__


def test_a_damaged_checkpoint_is_refused(run_edge, checkpoint, inputs):
    folder, _ = checkpoint
    in_one_file = folder / "model.ckpt"
    (data,) = [in_one_file] if in_one_file.exists() else folder.glob("*.data-*")
    content = data.read_bytes()
    # A checkpoint of one file is known by its end, so that its beginning is what is damaged.
    data.write_bytes(bytes(40) + content[40:] if data == in_one_file else content[:5])
    with pytest.raises(StepError) as caught:
        run_edge("run-checkpoint", {"model": folder, "inputs": inputs})
    assert caught.value.reason in ("CHECKPOINT_UNREADABLE", "MODEL_RUN_FAILED")


def test_a_graph_with_variables_needs_a_checkpoint(run_edge, checkpoint, inputs):
    folder, _ = checkpoint
    for path in folder.glob("model.ckpt*"):
        path.unlink()
    with pytest.raises(StepError) as caught:
        run_edge("run-graph", {"model": folder, "inputs": inputs})
    assert caught.value.reason == "VARIABLES_WITHOUT_CHECKPOINT"


def test_a_variable_that_the_checkpoint_lacks_is_named(run_edge, checkpoint, inputs):
    folder, _ = checkpoint
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        v1.placeholder(tf.int64, [None], name="n")
        tf.matmul(x, v1.get_variable("other", [3, 2], use_resource=False), name="y")
        tf.constant([1.0], name="z")
    (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(StepError) as caught:
        run_edge("run-checkpoint", {"model": folder, "inputs": inputs})
    assert caught.value.reason == "VARIABLE_NOT_IN_CHECKPOINT"
    assert caught.value.details["variable"] == "other"


def frozen(tmp_path, operation):
    folder = tmp_path / "frozen"
    folder.mkdir()
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        operation(x)
    (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    signature = Signature((Tensor("x", "x:0", "float32", (-1, 3)),), (Tensor("y", "y:0", "float32", None),), 0.5)
    signatures.write(folder, signature)
    (tmp_path / "inputs").mkdir()
    datasets.write(tmp_path / "inputs", Dataset(signature, {"x": INPUTS["x"]}))
    return {"model": folder, "inputs": tmp_path / "inputs"}


def test_runs_a_frozen_graph_and_keeps_its_expected_error(run_edge, tmp_path):
    _, output = run_edge("run-frozen-graph", frozen(tmp_path, lambda x: tf.negative(x, name="y")))

    made = datasets.read(output)
    assert made.arrays["y"].tolist() == (-INPUTS["x"]).tolist()
    assert made.signature.expected_error == 0.5


def test_runs_a_text_graph_with_parts_that_no_tensorflow_knows(run_edge, tmp_path):
    inputs = frozen(tmp_path, lambda x: tf.negative(x, name="y"))
    graph = v1.GraphDef()
    graph.ParseFromString((inputs["model"] / "graph.pb").read_bytes())
    graph.node.add(name="summary", op="NobodyKnowsThis", input=["y"])
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "model.pb").write_text(str(graph))
    _, output = run_edge("run-graph", {"model": tmp_path / "text", "inputs": inputs["inputs"]})

    assert datasets.read(output).arrays["y"].tolist() == (-INPUTS["x"]).tolist()


def test_texts_come_out_as_texts(run_edge, tmp_path):
    _, output = run_edge("run-frozen-graph", frozen(tmp_path, lambda x: tf.constant(["cat", "horse"], name="y")))
    assert datasets.read(output).arrays["y"].tolist() == [b"cat", b"horse"]


def test_a_run_that_fails_is_typed_and_says_what_to_do(run_edge, tmp_path):
    inputs = frozen(tmp_path, lambda x: tf.reshape(x, [-1, 5], name="y"))
    with pytest.raises(StepError) as caught:
        run_edge("run-frozen-graph", inputs)
    assert caught.value.reason == "MODEL_RUN_FAILED"
    assert "input shapes" in caught.value.message


def test_an_operation_from_elsewhere_is_typed(run_edge, tmp_path):
    inputs = frozen(tmp_path, lambda x: tf.negative(x, name="y"))
    path = inputs["model"] / "graph.pb"
    graph = v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    (node,) = [node for node in graph.node if node.name == "y"]
    node.op = "NobodyKnowsThis"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(StepError) as caught:
        run_edge("run-frozen-graph", inputs)
    assert caught.value.reason == "GRAPH_NOT_READABLE"
    assert "NobodyKnowsThis" in caught.value.message


def test_what_a_newer_tensorflow_wrote_is_run_without_its_unknown_defaults(run_edge, tmp_path):
    signature = Signature((Tensor("x", "x:0", "float32", (2, 2)),), (Tensor("y", "y:0", "float32", (2, 2)),))
    graph = graph_def.new_graph()
    graph.node.add(name="x", op="Placeholder").attr["dtype"].type = tf.float32.as_datatype_enum
    product = graph.node.add(name="y", op="MatMul", input=["x", "x"])
    product.attr["T"].type = tf.float32.as_datatype_enum
    product.attr["grad_a"].b = False
    verdict = op_versions.judge(graph)[op_versions.minor_version(tf.__version__)]
    (tmp_path / "frozen").mkdir()
    graph_def.write(tmp_path / "frozen" / "graph.pb", graph)
    signatures.write(tmp_path / "frozen", signature)
    (tmp_path / "inputs").mkdir()
    datasets.write(tmp_path / "inputs", Dataset(signature, {"x": np.float32([[1, 2], [3, 4]])}))

    facts, output = run_edge("run-frozen-graph", {"model": tmp_path / "frozen", "inputs": tmp_path / "inputs"})

    assert datasets.read(output).arrays["y"].tolist() == [[7, 10], [15, 22]]
    assert bool(verdict.dropped) == ("MatMul.grad_a of 1 node" in " ".join(facts.get("notes", [])))
