"""TensorFlow sessions as every run of a graph opens them: one thread, and errors that say what they mean."""

from contextlib import contextmanager
from typing import Any, Iterator

import numpy as np
from modelmill_worker import StepError, installed_tensorflow
from modelmill_worker.errors import TOOL

from modelmill_verifier.run_results import first_line, run_failed


@contextmanager
def open_session(graph: Any) -> Iterator[Any]:
    """A session in which sums are taken in the same order in every run.

    Raises StepError GRAPH_NOT_READABLE or MODEL_RUN_FAILED for what TensorFlow raises while the session is used.
    """
    import tensorflow as tf

    names = installed_tensorflow.v1()
    config = names.ConfigProto(
        intra_op_parallelism_threads=1, inter_op_parallelism_threads=1, allow_soft_placement=True
    )
    with names.Session(graph=graph, config=config) as session:
        try:
            yield session
        except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
            if _is_unreadable(error):
                raise not_readable(error) from error
            raise run_failed("TensorFlow " + tf.__version__, error) from error


def _is_unreadable(error: Exception) -> bool:
    """Whether a run failed because the graph is too new; before 1.8, TensorFlow looks at attributes only then."""
    return "NodeDef mentions attr" in str(error) or "Op type not registered" in str(error)


def not_readable(error: Exception) -> StepError:
    """A graph that this TensorFlow is too old for."""
    import tensorflow as tf

    line = first_line(error)
    if isinstance(error, KeyError):  # Before 1.10 no more is said of an operation that is not known.
        line = "it does not know {}".format(line)
    return StepError(
        "GRAPH_NOT_READABLE",
        "TensorFlow {} cannot read this graph: {}. A version as new as the one that wrote it can.".format(
            tf.__version__, line.rstrip(".")
        ),
        {"tensorflow": tf.__version__, "line": line},
        TOOL,
        str(error),
    )


def plain(values: Any) -> np.ndarray:
    """What a session returned, as an array: strings as numpy's bytes, which a file of plain arrays can hold."""
    array = np.asarray(values)
    return array.astype("S") if array.dtype == object else array
