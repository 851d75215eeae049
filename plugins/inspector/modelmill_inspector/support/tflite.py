"""Whether each TensorFlow's TFLite converter takes a graph: the target ``tflite`` with its default options."""

from typing import Any, Dict, List, Sequence, Tuple

from modelmill_worker.signature import Tensor

from modelmill_inspector.support import tables
from modelmill_inspector.support.letters import Lookup
from modelmill_inspector.support.tables import BUILTIN, CUSTOM, MISSING, SELECT, UNKNOWN
from modelmill_inspector.support.verdicts import Source, Verdict, counted, named

#: Operations that only pass on what they get: converters remove them, save where there is nothing else, as in the
#: graphs of one operation that the table is made with.
PASSING_ON = frozenset(["Identity", "StopGradient", "PlaceholderWithDefault"])


def judge(source: Source) -> List[Verdict]:
    """A verdict for each TensorFlow, oldest first."""
    lookup = Lookup(tables.tflite())
    gone = BUILTIN * len(tables.tflite().versions)
    found = [gone if use.folded or use.node.op in PASSING_ON else lookup.letters(use) for use in source.uses]
    return [
        _verdict(source, told, tuple(letters[index] for letters in found))
        for index, told in enumerate(tables.tflite().versions)
    ]


def _verdict(source: Source, told: Dict[str, Any], letters: Tuple[str, ...]) -> Verdict:
    version = ".".join(told["version"].split(".")[:2])
    against = _whatever_is_in_it(source, told, version)
    if against:
        return Verdict("tflite", version, told["converter"], "", (), against)
    needs, why = _by_operations(source, letters)
    ends = _by_its_ends(source, told)
    return Verdict("tflite", version, told["converter"], "" if ends else needs, letters, (why + " " + ends).strip())


def _whatever_is_in_it(source: Source, told: Dict[str, Any], version: str) -> str:
    """A sentence where this version does not come to the operations; empty where it does."""
    if source.functions and not told["functions"]:
        return "This version does not convert a SavedModel of TensorFlow 2."
    if version in source.unreadable:
        return "This version does not read the graph: {}.".format(source.unreadable[version])
    return ""


def _by_operations(source: Source, letters: Sequence[str]) -> Tuple[str, str]:
    """What the operations need, and a sentence."""
    nothing = counted(source.uses, letters, MISSING + UNKNOWN)
    if nothing:
        return "", "Nothing converts {}.".format(named(nothing))
    custom = counted(source.uses, letters, CUSTOM)
    select = counted(source.uses, letters, SELECT)
    if custom and select:
        text = "{} need allow_custom_ops and kernels of your own, and {} would be custom as well."
        return "custom", text.format(named(custom), named(select))
    if custom:
        return "custom", "{}: only with allow_custom_ops and kernels of your own.".format(named(custom))
    if select:
        return "select", "{}: only as TensorFlow operators, with allow_select_tf_ops.".format(named(select))
    return "builtin", ""


def _by_its_ends(source: Source, told: Dict[str, Any]) -> str:
    """A sentence about what inputs and outputs have against the conversion; empty where they have nothing."""
    unknown = [tensor.name for tensor in source.endpoints.inputs if not _is_known(tensor, told["dynamic_shapes"])]
    if unknown:
        return "The input {} has unknown dimensions: give them with input_shapes.".format(", ".join(unknown))
    others = [tensor.tensor for tensor in source.endpoints.outputs if tensor.tensor.rpartition(":")[2] != "0"]
    if others and not told["all_outputs"]:
        return "This version converts the first output of a node only, and {} is asked for.".format(others[0])
    return ""


def _is_known(tensor: Tensor, dynamic_shapes: bool) -> bool:
    """Whether a converter knows enough of an input's shape: its rank, or all of it but the batch, which becomes 1."""
    if tensor.shape is None:
        return False
    return dynamic_shapes or -1 not in tensor.shape[1:]
