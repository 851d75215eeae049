"""Runs where TensorFlow is: in an environment of the farm, with this project on PYTHONPATH."""

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_verifier.datasets import Dataset
from modelmill_worker import StepError, installed_tensorflow
from modelmill_worker.reference_run import ReferenceRun, StandIn
from modelmill_worker.signature import Signature, Tensor

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
v1 = installed_tensorflow.v1()

X = np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
IN = Tensor("x", "x:0", "float32", (-1, 3))


@pytest.fixture
def answer(run_edge, tmp_path):
    """What the source answers: answer(build, reference, inputs) -> facts, dataset; `build` makes nodes x and y."""

    def run(build, reference, fed=X, given=IN):
        graph = tf.Graph()
        with graph.as_default():
            build()
        source, inputs = tmp_path / "source", tmp_path / "inputs"
        source.mkdir()
        inputs.mkdir()
        (source / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
        signature = Signature((given,), (Tensor("y", "y:0", "float32", None),), reference=reference)
        datasets.write(inputs, Dataset(signature, {given.name: fed}))
        facts, output = run_edge("run-graph", {"model": source, "inputs": inputs})
        return facts, datasets.read(output)

    return run


def test_settings_are_fed_and_said(answer):
    def build():
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        training = v1.placeholder(tf.bool, [], name="training")
        v1.cond(training, lambda: x * 2.0, lambda: x)
        tf.identity(v1.where(tf.fill(tf.shape(x), training), x * 2.0, x), name="y")

    facts, made = answer(build, ReferenceRun(stand_ins=(StandIn("training:0", value=False),)))
    np.testing.assert_array_equal(made.arrays["y"], X)
    assert "inference mode" in facts["notes"][0]


def test_a_tensor_takes_the_value_of_another_after_those_before_it(answer):
    def build():
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        first = tf.identity(x * 5.0, name="first")
        second = tf.identity(first * 7.0, name="second")
        tf.identity(second + 1.0, name="y")

    order = (StandIn("first:0", source="x:0"), StandIn("second:0", source="first:0"))
    _, made = answer(build, ReferenceRun(stand_ins=order))
    np.testing.assert_array_equal(made.arrays["y"], X + 1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_source_of_one_batch_size_is_run_in_such_batches(answer, count):
    def build():
        x = v1.placeholder(tf.float32, [2, 3], name="x")
        tf.reshape(x, [2, 3], name="y")

    _, made = answer(build, ReferenceRun(batch=2), X[:count])
    np.testing.assert_array_equal(made.arrays["y"], X[:count])


def test_another_tensor_of_the_source_may_be_fed(answer):
    def build():
        images, _ = tf.split(tf.zeros([4, 3]), 2, name="parts")
        tf.identity(tf.split(tf.zeros([4, 3]), 2, name="others")[1] + images, name="y")

    reference = ReferenceRun(inputs={"others:1": "others:1"})
    given = Tensor("others:1", "others_1:0", "float32", (2, 3))
    _, made = answer(build, reference, X[:2], given)
    np.testing.assert_array_equal(made.arrays["y"], X[:2])


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_a_normalisation_fixed_to_training_is_computed_as_it_would_infer(answer, layout):
    images = np.random.RandomState(3).uniform(-1, 1, [2, 4, 5, 4]).astype(np.float32)
    mean, variance = np.float32([0.1, 0.2, 0.3, 0.4]), np.float32([1, 2, 3, 4])
    scale, shift = np.float32([1, 2, 1, 2]), np.float32([0, 1, 2, 3])

    def build():
        x = v1.placeholder(tf.float32, [None, 4, 5, 4], name="x")
        tf.constant(mean, name="mean")
        tf.constant(variance, name="variance")
        batch = v1.nn.fused_batch_norm(
            x, tf.constant(scale), tf.constant(shift), epsilon=0.01, data_format=layout, is_training=True, name="bn"
        )
        tf.identity(batch[0], name="y")

    def normalisation():
        graph = tf.Graph()
        with graph.as_default():
            build()
        return next(node.name for node in graph.as_graph_def().node if node.op.startswith("FusedBatchNorm"))

    stand_in = StandIn(normalisation() + ":0", source="x:0", mean="mean:0", variance="variance:0")
    given = Tensor("x", "x:0", "float32", (-1, 4, 5, 4))
    _, made = answer(build, ReferenceRun(stand_ins=(stand_in,)), images, given)
    by_channel = [4] if layout == "NHWC" else [4, 1, 1]
    factor = (scale / np.sqrt(variance + 0.01)).reshape(by_channel)
    expected = (images - mean.reshape(by_channel)) * factor + shift.reshape(by_channel)
    np.testing.assert_allclose(made.arrays["y"], expected, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_compared_is_said(answer):
    def build():
        tf.identity(v1.placeholder(tf.float32, [None, 3], name="x"), name="y")

    facts, made = answer(build, ReferenceRun(unlike="It draws random numbers."))
    assert facts["skipped"] == made.skipped == "It draws random numbers."


def test_a_queue_that_nothing_fills_is_not_waited_for(answer):
    def build():
        queue = v1.FIFOQueue(5, [tf.float32], [[3]], name="queue")
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        tf.identity(x + queue.dequeue(), name="y")

    with pytest.raises(StepError, match="queue_Dequeue") as caught:
        answer(build, ReferenceRun())
    assert caught.value.reason == "INPUT_NOT_FED"
