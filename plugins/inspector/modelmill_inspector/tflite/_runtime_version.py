"""The oldest TFLite runtime that knows every operator of a model: the fact `runtime_version`."""

from typing import Any, Dict, List, Tuple

from modelmill_inspector.tflite import _operators
from modelmill_inspector.tflite._model import Model, OperatorCode

#: How many of the operators that ask for the needed runtime are named.
_NAMED = 10


def describe_runtime_version(model: Model, recorded: str) -> Dict[str, Any]:
    """The fact `runtime_version`.

    recorded: what the converter wrote as `min_runtime_version`, "" where it wrote nothing.

    needed: the version, such as "2.3.0"; "" where no built-in operator tells.
    because: the operators that no older runtime knows, [{"op", "version"}], at most 10.
    unknown: those that are newer than the table, or that no runtime has; the model needs a newer runtime than `table`.
    table: the TensorFlow whose table was asked.
    recorded: as given, and in `agrees` whether it is the same; neither where nothing was recorded.

    Converters noted the version before they quantised (see the README): what they recorded may be too old.
    """
    codes = sorted(
        {operator.code for graph in model.subgraphs for operator in graph.operators if not operator.code.custom},
        key=lambda code: (code.name, code.version),
    )
    runtimes = [(code, _operators.first_runtime(code.name, code.version)) for code in codes]
    known = [(_numbers(runtime), runtime, code) for code, runtime in runtimes if runtime]
    needed = max((numbers, runtime) for numbers, runtime, _ in known)[1] if known else ""
    found: Dict[str, Any] = {
        "needed": needed,
        "because": _named([code for _, runtime, code in known if runtime == needed]),
        "unknown": _named([code for code, runtime in runtimes if not runtime]),
        "table": _operators.newest_runtime(),
    }
    if recorded:
        found["recorded"] = recorded
        found["agrees"] = recorded == needed
    return found


def _named(codes: List[OperatorCode]) -> List[Dict[str, Any]]:
    return [{"op": code.name, "version": code.version} for code in codes[:_NAMED]]


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
