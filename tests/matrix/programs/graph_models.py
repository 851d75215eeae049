"""The net as a TensorFlow 1 graph: trained in a session, saved as checkpoint, graph and SavedModel.

In TensorFlow 2 the same through `tf.compat.v1`. As TensorFlow 1 code does it, the net is built twice: once to be
trained, once to be used, which is the graph that is written; the checkpoint brings the weights from one to the other,
and holds what the optimiser remembers besides.
"""

import os

import numpy as np
import task
import tensorflow as tf

if tf.__version__.startswith("1."):
    import layers_tf1 as layers
else:
    import layers_tf2 as layers

v1 = layers.v1
ONE_THREAD = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
OUTPUTS = ("scores", "offsets")


def write_checkpoint(folder):
    """`model.ckpt`, the net's graph as `graph.pb` and `graph.pbtxt`, and `golden.npz`."""
    with v1.Graph().as_default(), v1.Session(config=ONE_THREAD) as session:
        prefix = _train(session, os.path.join(folder, "model.ckpt"))
    with v1.Graph().as_default() as graph, v1.Session(config=ONE_THREAD) as session:
        images, outputs = _trained_net(session, prefix)
        v1.train.write_graph(graph.as_graph_def(), folder, "graph.pb", as_text=False)
        v1.train.write_graph(graph.as_graph_def(), folder, "graph.pbtxt", as_text=True)
        _write_golden(session, images, outputs, os.path.join(folder, "golden.npz"))


def write_saved_model(folder):
    """A SavedModel by the builder that TensorFlow 1 has for them, with one signature."""
    with v1.Graph().as_default(), v1.Session(config=ONE_THREAD) as session:
        prefix = _train(session, os.path.join(folder, "trained", "model.ckpt"))
    with v1.Graph().as_default(), v1.Session(config=ONE_THREAD) as session:
        images, outputs = _trained_net(session, prefix)
        saved_model = v1.saved_model
        describe = saved_model.utils.build_tensor_info
        signature = saved_model.signature_def_utils.build_signature_def(
            inputs={"images": describe(images)},
            outputs={name: describe(output) for name, output in zip(OUTPUTS, outputs)},
            method_name="tensorflow/serving/predict",
        )
        builder = saved_model.builder.SavedModelBuilder(os.path.join(folder, "model"))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map={"serving_default": signature})
        builder.save()
        _write_golden(session, images, outputs, os.path.join(folder, "golden.npz"))


def _net(images, training):
    """Two convolutions, one normalised and with a PReLU, one with a bias and a ReLU6; scores and offsets."""
    x = layers.normalisation(layers.convolution(images, 8, "first"), training, "normal")
    with v1.variable_scope("prelu"):
        alpha = v1.get_variable("alpha", [8], initializer=v1.constant_initializer(0.25))
    # PReLU of the operators that even TensorFlow 1.5 has in TFLite: it has neither negation nor minimum.
    x = layers.pooled(alpha * x + (1.0 - alpha) * tf.nn.relu(x))
    x = layers.pooled(tf.nn.relu6(layers.convolution(x, 12, "second")))
    x = tf.nn.relu(layers.product(tf.reshape(x, [-1, 3 * 3 * 12]), 16, "hidden"))
    return layers.product(x, task.CLASSES, "classes"), layers.product(x, task.OFFSETS, "shift")


def _train(session, prefix):
    """The path of the checkpoint that the trained net was saved to."""
    images, classes, offsets = task.training_data()
    v1.set_random_seed(1)
    logits, shift = _net(tf.constant(images), training=True)
    loss = v1.losses.softmax_cross_entropy(classes, logits) + v1.losses.mean_squared_error(offsets, shift)
    with v1.control_dependencies(v1.get_collection(v1.GraphKeys.UPDATE_OPS)):
        step = v1.train.MomentumOptimizer(task.RATE, 0.9).minimize(loss)
    session.run(v1.global_variables_initializer())
    before = session.run(loss)
    for _ in range(task.STEPS):
        session.run(step)
    assert session.run(loss) < before, "the net learns nothing"
    if not os.path.isdir(os.path.dirname(prefix)):
        os.makedirs(os.path.dirname(prefix))
    return v1.train.Saver().save(session, prefix)


def _trained_net(session, prefix):
    images = v1.placeholder(tf.float32, [None, task.SIZE, task.SIZE, 3], name="images")
    logits, shift = _net(images, training=False)
    outputs = tf.nn.softmax(logits, name=OUTPUTS[0]), tf.identity(shift, name=OUTPUTS[1])
    v1.train.Saver().restore(session, prefix)
    return images, outputs


def _write_golden(session, images, outputs, file):
    given = task.golden_images()
    scores, offsets = session.run(outputs, {images: given})
    np.savez(file, images=given, scores=scores, offsets=offsets)
