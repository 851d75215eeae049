"""What of a graph the Edge TPU could run, by its documentation: the rest runs on the processor beside it."""

from typing import List

from modelmill_inspector.support import tables, tflite
from modelmill_inspector.support.tables import BUILTIN, MISSING
from modelmill_inspector.support.uses import Use, attribute_text
from modelmill_inspector.support.verdicts import Source, Verdict, counted, named

#: The compiler that is documented, and the TensorFlow whose results it reads.
COMPILER, QUANTISED_BY = "16", "2.15"


def judge(source: Source) -> List[Verdict]:
    """One verdict: what could be mapped, and what a fully quantised model must be like besides."""
    letters = tuple(BUILTIN if use.folded or _maps(use) else MISSING for use in source.uses)
    (converting,) = [verdict for verdict in tflite.judge(source) if verdict.version == QUANTISED_BY]
    missing = counted(source.uses, letters, MISSING)
    limits = _limits(source, letters)
    if converting.needs != "builtin":
        needs, why = (
            "",
            "TensorFlow {} makes no .tflite of builtin operators of it. {}".format(QUANTISED_BY, converting.why),
        )
    elif letters and not any(letter == BUILTIN and not use.folded for use, letter in zip(source.uses, letters)):
        needs, why = "", "The Edge TPU has none of its operations."
    else:
        needs, why = "builtin", "It must be quantised to integers, with shapes known beforehand and a batch of 1."
        if missing:
            why += " {} would run on the processor, and so does what comes after.".format(named(missing))
        why += limits
    return [Verdict("edgetpu", COMPILER, "", needs, letters, why)]


def _maps(use: Use) -> bool:
    operation = use.node.op
    if operation in tflite.PASSING_ON:
        return True
    if operation not in tables.edgetpu():
        return False
    if operation == "StridedSlice":
        return attribute_text(use.node, "ellipsis_mask") in (None, "0") and attribute_text(
            use.node, "new_axis_mask"
        ) in (None, "0")
    if operation.endswith(("Conv2D", "Conv2dNative")):
        dilations = list(use.node.attr["dilations"].list.i) if "dilations" in use.node.attr else []
        return len(dilations) != 4 or dilations[1] == dilations[2] or dilations[2] == dilations[3]
    return True


def _limits(source: Source, letters: "tuple[str, ...]") -> str:
    """The documented limits of the operations that are there, as sentences."""
    there = sorted({use.node.op for use, letter in zip(source.uses, letters) if letter == BUILTIN and not use.folded})
    limits = ["{}: {}".format(name, tables.edgetpu()[name].limit) for name in there if name in tables.edgetpu()]
    known = [text for text in limits if not text.endswith(": ")]
    return " Limits: {}.".format("; ".join(known)) if known else ""
