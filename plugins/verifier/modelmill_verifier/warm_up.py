"""A run in small: the first session of a process costs more than later ones."""

from modelmill_worker import installed_tensorflow
from modelmill_worker.tensorflow_threads import use_one_thread


def warm_up() -> None:
    """Run one addition, where the environment has TensorFlow."""
    if not installed_tensorflow.is_installed():
        return
    import tensorflow as tf

    use_one_thread()
    v1 = installed_tensorflow.v1()
    with tf.Graph().as_default() as graph:
        number = v1.placeholder(tf.float32, [1], name="number")
        total = tf.add(number, 1.0)
        with v1.Session(graph=graph) as session:
            session.run(total, {number: [1.0]})
