"""Moving averages that TensorFlow itself keeps and saves."""

import numpy as np
import pytest
from modelmill_freezer._steps import FreezeOptions, freeze
from modelmill_worker import graph_def, signature
from modelmill_worker.plugin_api import Step, Tree

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
v1 = getattr(getattr(tf, "compat", None), "v1", tf)


@pytest.mark.parametrize("resource", [False, True])
@pytest.mark.parametrize("name", ["ExponentialMovingAverage", "polyak"])
def test_a_checkpoint_is_frozen_with_the_averages_of_its_variables(tmp_path, resource, name):
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    output.mkdir()
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        with v1.variable_scope("net", use_resource=resource):
            w = v1.get_variable("w", [3, 2])
            b = v1.get_variable("b", [2], trainable=False)
        y = tf.identity(tf.matmul(x, w) + b, name="y")
        descend = v1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(y * y))
        averages = tf.train.ExponentialMovingAverage(0.9, name=name)
        with tf.control_dependencies([descend]):
            train = averages.apply([w])
        for variable in v1.global_variables():  # one by one: an average starts with what its variable has
            session.run(variable.initializer)
        for _ in range(3):
            session.run(train, {x: np.ones((4, 3), np.float32)})
        v1.train.Saver().save(session, str(source / "model"))
        average, own = session.run([averages.average(w), w])
    tree = Tree("tf.checkpoint", source, tuple(sorted(file.name for file in source.iterdir())))
    options = FreezeOptions(outputs=("y",), use_moving_averages=True)
    facts = freeze(Step({"model": tree}, options, output, tmp_path))
    frozen = graph_def.nodes_by_name(graph_def.read(output / "graph.pb"))["net/w"]
    assert not np.array_equal(average, own)
    np.testing.assert_array_equal(graph_def.constant_value(frozen), average)
    assert (facts["moving_averages"], facts["without_moving_average"]) == (["net/w"], ["net/b"])
    assert signature.read(output).reference.averages == {"net/w": "net/w/" + name}
