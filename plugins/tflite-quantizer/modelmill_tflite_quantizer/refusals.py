"""What a converter's exception means: from its text to a StepError."""

import re
from typing import Any, Dict, List, Optional, Sequence, Set

from modelmill_worker import StepError, graph_def, saved_model
from modelmill_worker.errors import TOOL

from modelmill_tflite_quantizer.request import Request
from modelmill_tflite_quantizer.sources import FrozenGraph, SavedModel

#: At most so many nodes are named; `node_count` tells how many there are.
NODES_SHOWN = 20

#: Where the converters' texts list operations, separated by commas: MLIR's two lists, then TOCO's.
_LISTS = (
    re.compile(r"^TF Select ops: (.+)$", re.MULTILINE),
    re.compile(r"^Custom ops: (.+)$", re.MULTILINE),
    re.compile(r"for which +you will need custom implementations: (.+?)\.?$", re.MULTILINE),
)
#: Where they name a single one: MLIR, then TensorFlow's own import of the graph.
_MENTIONS = (
    re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op"),
    re.compile(r"Op type not registered '([^']+)'"),
)


#: What TOCO says of an array whose range no training has recorded, and the operator that it goes into or comes from.
_RANGES = (
    re.compile(
        r"Array (?P<array>\S+), which is an input to the (?P<operator>\w+) operator producing the output array "
        r"(?P<output>\S+), is lacking min/max data"
    ),
    re.compile(r"Array (?P<array>\S+) does not have MinMax information, and is not a constant array"),
)
#: An operator that computes with floats only.
_NO_UINT8 = re.compile(r"Unimplemented: this graph contains an operator of type (\w+) for which the quantized form")
#: A shape that the converter would have to know.
_UNKNOWN_SHAPE = re.compile(r"None is only supported in the 1st dimension\. Tensor '(?P<tensor>[^']+)'")
#: What MLIR says of a loop whose state has an unknown dimension, such as a recurrent layer's batch.
_UNKNOWN_STATE = re.compile(r"requires element_shape to be|Lowering tensor list ops is failed")


def conversion_refused(error: Exception, request: Request) -> StepError:
    """What a converter raised, or died of, by its text.

    MISSING_QUANTIZATION_RANGES, UNSUPPORTED_QUANTIZATION, UNSUPPORTED_OPERATION with the nodes, DYNAMIC_SHAPE, or
    CONVERTER_REFUSED with the telling line.
    """
    text = str(error)
    known = _ranges_missing(text) or _no_uint8(text) or _unknown_shape(text)
    if known is not None:
        return known
    operations = unsupported_operations(text)
    if operations:
        return _unsupported(operations, request)
    line = telling_line(text) or type(error).__name__
    converter = request.converter.upper()
    return StepError(
        "CONVERTER_REFUSED",
        "TensorFlow's converter {} refused the model: {}. The step's log tells more.".format(
            converter, line.rstrip(".")
        ),
        {"converter": converter, "line": line, "exception": type(error).__name__},
        TOOL,
        text,
    )


def _ranges_missing(text: str) -> Optional[StepError]:
    for pattern in _RANGES:
        found = pattern.search(text)
        if found is None:
            continue
        details = found.groupdict()
        place = (
            ", an input of the {} that makes {},".format(details["operator"], details["output"])
            if ("operator" in details)
            else ""
        )
        return StepError(
            "MISSING_QUANTIZATION_RANGES",
            "The array {}{} has no range: no fake quantisation stands after it in the graph. Rewrite the graph with "
            "--rewrite 'repair_min_max, default', which takes the range that was trained, or one that you give with "
            "repair_min_max(range=name:min:max); or convert with quantization=float or quantization=dynamic_range, "
            "which need no ranges.".format(details["array"], place),
            dict(details, option="quantization"),
            TOOL,
            text,
        )
    return None


def _no_uint8(text: str) -> Optional[StepError]:
    found = _NO_UINT8.search(text)
    if found is None:
        return None
    return StepError(
        "UNSUPPORTED_QUANTIZATION",
        "TOCO has no uint8 form of the operator {}. Replace it or cut it out of the graph, or convert with "
        "quantization=float.".format(found.group(1)),
        {"operators": sorted(set(_NO_UINT8.findall(text))), "option": "quantization"},
        TOOL,
        text,
    )


def refuse_custom_operators(names: Sequence[str], request: Request) -> None:
    """Refuse a .tflite with custom operators that nobody allowed: TOCO before 1.8 makes them unasked.

    Raises StepError UNSUPPORTED_OPERATION.
    """
    unwanted = [name for name in names if not (request.allow_select_tf_ops and name.startswith("Flex"))]
    if unwanted and not request.allow_custom_ops:
        raise _unsupported(unwanted, request)


def _unknown_shape(text: str) -> Optional[StepError]:
    if _UNKNOWN_STATE.search(text):
        return StepError(
            "DYNAMIC_SHAPE",
            "The model has a loop, such as a recurrent layer, whose state has an unknown dimension: mostly the batch. "
            "Fix the inputs' shapes with the option input_shapes, or keep the loop as TensorFlow operators with "
            "allow_select_tf_ops.",
            {"option": "input_shapes"},
            TOOL,
            text,
        )
    found = _UNKNOWN_SHAPE.search(text)
    if found is None:
        return None
    return StepError(
        "DYNAMIC_SHAPE",
        "{} has unknown dimensions, which the converter cannot take. Fix them with the option input_shapes.".format(
            found.group("tensor")
        ),
        {"tensor": found.group("tensor"), "option": "input_shapes"},
    )


def outputs_lost(what: str, wanted: List[str], found: List[str]) -> StepError:
    """The converter made a model with other inputs or outputs than it was asked for."""
    return StepError(
        "CONVERTER_REFUSED",
        "The converter gave a model with the {} {} where {} were asked for. Two of them may be the same tensor; "
        "ask for each tensor once.".format(what, ", ".join(found) or "(none)", ", ".join(wanted)),
        {"wanted": wanted, "found": found},
        TOOL,
    )


def unsupported_operations(text: str) -> List[str]:
    """The TensorFlow operations that a converter's text says it has nothing for, sorted."""
    found: Set[str] = set()
    for pattern in _LISTS:
        for listed in pattern.findall(text):
            found.update(name.strip() for name in listed.split(","))
    for pattern in _MENTIONS:
        found.update(pattern.findall(text))
    return sorted(name for name in found if name)


def telling_line(text: str) -> str:
    """The line of a converter's text that says most: the last failed check or error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        if re.search(r"Check failed|: F tensorflow|\berror: ", line):
            return line
    return lines[-1] if lines else ""


def _unsupported(operations: List[str], request: Request) -> StepError:
    nodes = _nodes_of(operations, request)
    shown = ["{} ({})".format(node["node"], node["operation"]) for node in nodes[:3]]
    where = " at {}{}".format(", ".join(shown), " and others" if len(nodes) > 3 else "") if nodes else ""
    return StepError(
        "UNSUPPORTED_OPERATION",
        "TFLite has no operator for {}{}. {}.".format(", ".join(operations), where, _remedies(request)),
        {"operations": operations, "nodes": nodes[:NODES_SHOWN], "node_count": len(nodes)},
        TOOL,
    )


def _remedies(request: Request) -> str:
    remedies = ["Cut the nodes out of the graph"]
    if not request.allow_select_tf_ops:
        remedies.append("keep them as TensorFlow operators with allow_select_tf_ops")
    if not request.allow_custom_ops:
        remedies.append("bring kernels for them and set allow_custom_ops")
    return ", or ".join(remedies)


def _nodes_of(operations: List[str], request: Request) -> List[Dict[str, Any]]:
    """The nodes of the graph, and of the functions it brings, that are of these operations. A Keras model has none."""
    source = request.source
    if isinstance(source, FrozenGraph):
        graph = graph_def.read(source.path)
    elif isinstance(source, SavedModel):
        graph = saved_model.read(source.path, source.key, source.tags).graph
    else:
        return []
    nodes = list(graph.node)
    for function in graph.library.function:
        nodes.extend(function.node_def)
    # TOCO names its own operators in capitals.
    wanted = {name.upper() for name in operations}
    return [{"node": node.name, "operation": node.op} for node in nodes if node.op.upper() in wanted]
