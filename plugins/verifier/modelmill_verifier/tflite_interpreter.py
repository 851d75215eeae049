"""TFLite's interpreter, as each TensorFlow brings it, and what its errors mean."""

import importlib
import inspect
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Tuple

from modelmill_worker import StepError
from modelmill_worker.errors import TOOL

from modelmill_verifier.run_results import first_line, run_failed

_OLDEST = (1, 9)
#: From here on it raises what it has against a model. Before, that is on standard error alone, and 1.9's crashes when
#: it is used then.
_OUTSPOKEN = (1, 11)

_UNKNOWN_BUILTIN = re.compile(r"Didn't find op for builtin opcode '(\w+)'(?: version '(\d+)')?")
_UNKNOWN_CUSTOM = re.compile(r"[Uu]nresolved custom op: ([\w-]+)|Didn't find custom op for name '([^']+)'")
_NO_FLEX = re.compile(r"[Rr]egular TensorFlow ops are not supported|Select TensorFlow op\(s\)")
_FAILED_NODE = re.compile(r"Node number (\d+) \(([\w.-]+)\) failed to (prepare|invoke)")


def has_interpreter() -> bool:
    """Whether this TensorFlow has one in Python."""
    return _version() >= _OLDEST


def _version() -> Tuple[int, ...]:
    import tensorflow as tf

    return tuple(int(part) for part in tf.__version__.split(".")[:2])


def interpreter_class() -> Any:
    """TensorFlow's Interpreter: under ``tf.lite`` from 1.13 on, before that in contrib from 1.9 on."""
    import tensorflow as tf

    if hasattr(tf, "lite"):
        return tf.lite.Interpreter
    # Loaded by name, for the others have no such module. contrib's own `lite` shows less than this.
    return importlib.import_module("tensorflow.contrib.lite.python.interpreter").Interpreter


def open_interpreter(path: Path) -> Any:
    """An interpreter on one thread with the model in a file.

    Raises ValueError where it does not take the model; `explain` says what that means.
    """
    made = interpreter_class()
    how = {"model_path": str(path)}
    # More threads could change the order in which sums are taken. Old interpreters have one and no such parameter.
    if "num_threads" in inspect.signature(made.__init__).parameters:
        how["num_threads"] = 1
    return _with_reasons(lambda: made(**how))


def allocate(interpreter: Any) -> None:
    """Prepare the model for inputs of the shapes set. Raises ValueError or RuntimeError; see `explain`."""
    _with_reasons(interpreter.allocate_tensors)


def _with_reasons(action: Callable[[], Any]) -> Any:
    """Do something of an interpreter, and raise what it has against the model where it says that elsewhere."""
    if _version() >= _OUTSPOKEN:
        return action()
    with _standard_error() as read:
        try:
            result = action()
        except ValueError as error:
            raise ValueError("{}: {}".format(error, read())) from error
        if read().strip():  # All that they ever say is why not.
            raise ValueError(read())
    return result


@contextmanager
def _standard_error() -> Iterator[Callable[[], str]]:
    """Keep what this process writes to standard error, its native code included, to be read; pass it on at the end."""
    with tempfile.TemporaryFile() as kept:
        own = os.dup(2)
        os.dup2(kept.fileno(), 2)

        def read() -> str:
            kept.seek(0)
            return kept.read().decode("utf-8", "replace")

        try:
            yield read
        finally:
            os.dup2(own, 2)
            os.write(2, read().encode("utf-8"))
            os.close(own)


def explain(error: Exception) -> StepError:
    """What an error of the interpreter means.

    INTERPRETER_TOO_OLD, INTERPRETER_LACKS_OPERATOR and INTERPRETER_FAILED are for another interpreter to try;
    MODEL_RUN_FAILED is the rest, such as a file that is no model.
    """
    import tensorflow as tf

    what = "TFLite's interpreter of TensorFlow " + tf.__version__
    for meaning in (_too_old, _lacks_operator, _failed_in_node, _not_taken):
        found = meaning(what, error)
        if found is not None:
            return found
    return run_failed(what, error)


def _too_old(what: str, error: Exception) -> Optional[StepError]:
    """It lacks a built-in operator, or knows only an older form of it."""
    found = _UNKNOWN_BUILTIN.search(str(error))
    if found is None:
        return None
    operator, version = found.groups()
    return StepError(
        "INTERPRETER_TOO_OLD",
        "{} is older than the model: it does not know {}{}. Run the check in an environment with a newer "
        "TensorFlow, or convert with an older one.".format(
            what, operator, " in version {}".format(version) if version else ""
        ),
        {"operator": operator, "version": int(version) if version else None},
        TOOL,
        str(error),
    )


def _lacks_operator(what: str, error: Exception) -> Optional[StepError]:
    """The model needs operators that are not TFLite's own, and this interpreter was built without."""
    custom = _UNKNOWN_CUSTOM.search(str(error))
    if custom is None and _NO_FLEX.search(str(error)) is None:
        return None
    operator = (custom.group(1) or custom.group(2)) if custom else ""
    return StepError(
        "INTERPRETER_LACKS_OPERATOR",
        "{} cannot run the model, which is no fault of the model: it was built without {}. Run the check with "
        "another TensorFlow's interpreter, or on the device that has it.".format(
            what, "the custom operator {}".format(operator) if operator else "TensorFlow's own operators (Flex)"
        ),
        {"operator": operator or "Flex"},
        TOOL,
        str(error),
    )


def _failed_in_node(what: str, error: Exception) -> Optional[StepError]:
    """It took the model, and one of its kernels gave up."""
    found = _FAILED_NODE.search(str(error))
    if found is None:
        return None
    node, operator, when = found.groups()
    return StepError(
        "INTERPRETER_FAILED",
        "{} failed to {} the operator {} (node {}): {}. Kernels differ from version to version: where another "
        "TensorFlow's interpreter runs the model, it is this one's fault; where none does, the model's or its "
        "inputs'.".format(what, when, operator, node, first_line(error).rstrip(".")),
        {"operator": operator, "node": int(node), "line": first_line(error)},
        TOOL,
        str(error),
    )


def _not_taken(what: str, error: Exception) -> Optional[StepError]:
    """It did not take the model. 1.10 never says why."""
    if "Interpreter was not initialized" not in str(error):
        return None
    return StepError(
        "INTERPRETER_FAILED",
        "{} did not take the model and does not say why: most often it is older than the model. Another TensorFlow's "
        "interpreter may run it, and says more where it does not.".format(what),
        {"operator": "", "node": None, "line": first_line(error)},
        TOOL,
        str(error),
    )
