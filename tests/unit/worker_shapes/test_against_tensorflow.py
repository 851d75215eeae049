"""Shapes as TensorFlow infers them: never contradicted, and nearly always known as well."""

import pytest
from agreement import assert_agrees, imported
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_worker import graph_def, installed_tensorflow

pytestmark = pytest.mark.skipif(not installed_tensorflow.is_installed(), reason="needs TensorFlow")

GRAPHS = [
    *(
        f"mtcnn/{version}/{net}/{graph}"
        for version in ("tf1.9.0", "tf1.15.5")
        for net in ("pnet", "rnet", "onet")
        for graph in ("graph.pb", "frozen.pb")
    ),
    "posenet/frozen.pb",
    *(f"kws-tf1-frozen/{name}.pb" for name in ("DS_CNN_S", "CRNN_S", "Basic_LSTM_S")),
]


@pytest.mark.parametrize("name", GRAPHS)
def test_knows_the_shapes_of_real_graphs(name, corpus):
    graph = graph_def.read(corpus / name)
    assert_agrees(graph, imported(graph))


OPERATIONS = {
    "conv": lambda tf, x, p: tf.nn.conv2d(x, tf.zeros([p["k"], p["k"], 3, 5]), [1, p["s"], p["s"], 1], p["pad"]),
    "depthwise": lambda tf, x, p: tf.nn.depthwise_conv2d(x, tf.zeros([p["k"], p["k"], 3, 2]), [1, p["s"], p["s"], 1], p["pad"]),  # noqa: E501
    "atrous": lambda tf, x, p: tf.nn.atrous_conv2d(x, tf.zeros([p["k"], p["k"], 3, 5]), p["s"], "SAME"),
    "atrous_that_fits": lambda tf, x, p: tf.nn.atrous_conv2d(x, tf.zeros([2, 2, 3, 5]), p["s"], p["pad"]),
    "transpose_conv": lambda tf, x, p: tf.nn.conv2d_transpose(
        x, tf.zeros([p["k"], p["k"], 4, 3]), tf.stack([tf.shape(x)[0], p["s"] * 7, p["s"] * 7, 4]), [1, p["s"], p["s"], 1]  # noqa: E501
    ),
    "max_pool": lambda tf, x, p: tf.nn.max_pool(x, [1, p["k"], p["k"], 1], [1, p["s"], p["s"], 1], p["pad"]),
    "flatten": lambda tf, x, p: tf.reshape(x, [tf.shape(x)[0], -1]),
    "reshape_keeping": lambda tf, x, p: tf.reshape(x, tf.concat([tf.shape(x)[:2], [-1]], 0)),
    "dense": lambda tf, x, p: tf.matmul(tf.reduce_mean(x, [1, 2]), tf.zeros([3, p["k"]])),
    "batch_matmul": lambda tf, x, p: tf.matmul(x, x, transpose_b=True),
    "concat": lambda tf, x, p: tf.concat([x, x, tf.zeros_like(x)], p["axis"]),
    "split": lambda tf, x, p: tf.split(x, 3, 3)[1],
    "split_sizes": lambda tf, x, p: tf.split(x, [1, -1], 3)[1],
    "stack": lambda tf, x, p: tf.stack([x, x], p["axis"]),
    "unstack": lambda tf, x, p: tf.unstack(x, axis=3)[0],
    "slice": lambda tf, x, p: tf.slice(x, [0, 1, 0, 0], [-1, p["k"], -1, 2]),
    "strided": lambda tf, x, p: x[:, 1 : -1 : p["s"], ..., 0],
    "strided_new": lambda tf, x, p: x[..., tf.newaxis, 1:],
    "reversed": lambda tf, x, p: x[:, ::-1, 2:5],
    "pad": lambda tf, x, p: tf.pad(x, [[0, 0], [p["k"], 1], [0, p["s"]], [0, 0]]),
    "tile": lambda tf, x, p: tf.tile(x, [1, p["k"], p["s"], 1]),
    "transpose": lambda tf, x, p: tf.transpose(x, [0, 3, 1, 2]),
    "squeeze": lambda tf, x, p: tf.squeeze(tf.reduce_sum(x, 3, keepdims=True), [3]),
    "expand": lambda tf, x, p: tf.expand_dims(x, p["axis"]),
    "reduce": lambda tf, x, p: tf.reduce_max(x, p["axis"]),
    "argmax": lambda tf, x, p: tf.argmax(x, p["axis"]),
    "top": lambda tf, x, p: tf.nn.top_k(x, 2)[1],
    "gather": lambda tf, x, p: tf.gather(x, [[0, 1, 0]], axis=p["axis"]),
    "gather_nd": lambda tf, x, p: tf.gather_nd(x, [[0, 0], [0, 0]]),
    "one_hot": lambda tf, x, p: tf.one_hot(tf.argmax(x, 3), p["k"]),
    "broadcast": lambda tf, x, p: x * tf.zeros([p["k"], 1, 1, 3]) if p["k"] == 1 else x + tf.zeros([3]),
    "resize": lambda tf, x, p: tf.image.resize_bilinear(x, [p["k"], p["s"]]),
    "resize_twice": lambda tf, x, p: tf.image.resize_nearest_neighbor(x, tf.shape(x)[1:3] * 2),
    "space_to_depth": lambda tf, x, p: tf.nn.space_to_depth(tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, 0]]), 1 + 1),
    "batch_norm": lambda tf, x, p: tf.nn.fused_batch_norm(x, tf.ones([3]), tf.ones([3]), tf.ones([3]), tf.ones([3]), is_training=False)[0],  # noqa: E501
    "fill": lambda tf, x, p: tf.fill(tf.shape(x), 1.0) + x,
    "range": lambda tf, x, p: tf.range(0, p["k"] * 3, p["s"]),
    "where": lambda tf, x, p: tf.where(tf.greater(x, 0.0)),
    "select": lambda tf, x, p: tf.where(tf.greater(x, 0.0), x, -x),
    "cond": lambda tf, x, p: tf.cond(tf.reduce_sum(x) > 0, lambda: x, lambda: x[:, :2]),
    "loop": lambda tf, x, p: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2.0), [0, x])[1],
    "nms": lambda tf, x, p: tf.image.non_max_suppression(tf.zeros([p["k"], 4]), tf.zeros([p["k"]]), 3),
    "rfft": lambda tf, x, p: tf.spectral.rfft(tf.transpose(x, [0, 1, 3, 2]), [8]),
    "spectrogram": lambda tf, x, p: tf.abs(tf.transpose(x, [3, 0, 1, 2])),
    "fake_quant": lambda tf, x, p: tf.quantization.fake_quant_with_min_max_args(x),
    "einsum": lambda tf, x, p: tf.einsum("bhwc,cd->bhwd", x, tf.zeros([3, p["k"]])),
}  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
@given(
    shape=st.tuples(
        st.sampled_from([None, 1, 2]), st.sampled_from([None, 6, 8]), st.sampled_from([None, 6, 10]), st.just(3)
    ),
    parameters=st.fixed_dictionaries(
        {
            "k": st.integers(1, 4),
            "s": st.integers(1, 3),
            "pad": st.sampled_from(["SAME", "VALID"]),
            "axis": st.sampled_from([1, 2, -1]),
        }
    ),
)
def test_knows_the_shapes_of_an_operation(operation, shape, parameters):
    tf = installed_tensorflow.v1()
    with tf.Graph().as_default() as built:
        x = tf.placeholder(tf.float32, shape, "x")
        OPERATIONS[operation](tf, x, parameters)
    graph = built.as_graph_def()
    assert_agrees(graph, {op.name: [output.shape for output in op.outputs] for op in built.get_operations()})
