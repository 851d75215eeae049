"""Graphs of several operations that only make sense together: branches, loops and their arrays. Python 3.6 and newer.

Each function builds one in the default graph and gives its output's name; its only input is "input_0" of float32[4,3].
`PROGRAMS` says for which operations the result holds.
"""

from typing import Any, Callable, Dict, Tuple

SHAPE = (4, 3)


def condition(tf: Any, v1: Any) -> str:
    """Switch and Merge, or If where control flow is that of TensorFlow 2."""
    x = v1.placeholder(tf.float32, SHAPE, name="input_0")
    return str(tf.identity(v1.cond(tf.reduce_sum(x) > 0, lambda: x + 1.0, lambda: x * 2.0), name="out").name)


def loop(tf: Any, v1: Any) -> str:
    """Enter, Exit and the like, or While."""
    x = v1.placeholder(tf.float32, SHAPE, name="input_0")
    _, found = v1.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 2.0), (tf.constant(0), x))
    return str(tf.identity(found, name="out").name)


def array_loop(tf: Any, v1: Any) -> str:
    """A loop over the rows of a tensor, as recurrent layers have it."""
    x = v1.placeholder(tf.float32, SHAPE, name="input_0")
    read = tf.TensorArray(tf.float32, size=4, element_shape=(3,)).unstack(x)
    write = tf.TensorArray(tf.float32, size=4, element_shape=(3,))

    def body(i: Any, state: Any, out: Any) -> Any:
        state = state + read.read(i)
        return i + 1, state, out.write(i, state)

    _, _, out = v1.while_loop(lambda i, *_: i < 4, body, (tf.constant(0), tf.zeros((3,)), write))
    return str(tf.identity(out.stack(), name="out").name)


_V1_ARRAYS = (
    "TensorArrayV3",
    "TensorArrayScatterV3",
    "TensorArrayReadV3",
    "TensorArrayWriteV3",
    "TensorArrayGatherV3",
    "TensorArraySizeV3",
)
_LISTS = (
    "TensorListReserve",
    "TensorListFromTensor",
    "TensorListGetItem",
    "TensorListSetItem",
    "TensorListStack",
)

#: Name to: how it is built, whether control flow is that of TensorFlow 2, and the operations that it stands for.
PROGRAMS: Dict[str, Tuple[Callable[[Any, Any], str], bool, Tuple[str, ...]]] = {
    "condition": (condition, False, ("Switch", "Merge")),
    "loop": (loop, False, ("Enter", "Exit", "NextIteration", "LoopCond")),
    "array loop": (array_loop, False, _V1_ARRAYS),
    "condition as functions": (condition, True, ("If", "StatelessIf")),
    "loop as functions": (loop, True, ("While", "StatelessWhile")),
    "array loop as functions": (array_loop, True, _LISTS),
}
