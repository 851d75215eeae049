"""How many threads TensorFlow computes with: a choice that a process makes once, whoever opens its first session."""

from modelmill_worker import installed_tensorflow


def use_one_thread() -> None:
    """Make this process's TensorFlow compute on one thread, unless it has opened a session already.

    A warm-up calls it before all else. The first session's devices get a pool of threads that all later sessions
    share, whatever these are configured with (EigenThreadPoolInfo in tensorflow/core/common_runtime/local_device.cc).
    A run of a model asks for one thread, so that sums are taken in the same order each time; in a process that a
    warm-up has given more, it would not be granted.
    """
    import tensorflow as tf

    v1 = installed_tensorflow.v1()
    config = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    v1.Session(graph=tf.Graph(), config=config).close()
