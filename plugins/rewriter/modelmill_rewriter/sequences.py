"""Which passes run for which target, in which order: data, and the choice that a user makes from it."""

import difflib
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from modelmill_worker.errors import StepError

from modelmill_rewriter._arguments import Call, parse_calls, with_arguments
from modelmill_rewriter.rules import PASSES
from modelmill_rewriter.rules_api import Pass

#: Sequences that have a name of their own, which stands for all that is in them.
GROUPS: Dict[str, Tuple[str, ...]] = {
    "fuse_convolutions": ("fuse_resize_pad_and_conv", "fuse_resize_and_conv", "fuse_pad_and_conv"),
    "remove_training_nodes": (
        "remove_control_dependencies",
        "prune_unused",
        "remove_dropout",
        "remove_identities",
    ),
    "canonical_forms": (
        "prelu",
        "gelu",
        "hard_sigmoid",
        "hard_swish",
        "l2_normalization",
    ),
}

#: What a graph for any other target gets. Attributes go last: rules write for the newest version that they know.
DEFAULT = ("remove_training_nodes", "prelu", "lower_operations", "remove_default_attributes")

#: By the target's name. The orders agree so far: what a rule writes for either converter it decides itself. Layouts go
#: first, as converters know most patterns in NHWC only, but for the layer normalisation whose rows pose as channels;
#: convolutions are split when nothing more can be folded into them.
SEQUENCES: Dict[str, Tuple[str, ...]] = {
    "tflite": (
        "remove_training_nodes",
        "unroll_loops",
        "unpack_arrays",
        "fold_constants",
        "layer_normalization",
        "nchw_to_nhwc",
        "remove_transposes",
        "remove_reshapes",
        "fold_paddings",
        "fold_old_batch_norms",
        "fold_batch_norms",
        "canonical_forms",
        "split_grouped_convolutions",
        "replace_select_operations",
        "lower_operations",
        "remove_default_attributes",
    ),
    "tfjs": (
        "remove_training_nodes",
        "fold_constants",
        "layer_normalization",
        "nchw_to_nhwc",
        "remove_transposes",
        "remove_reshapes",
        "fold_paddings",
        "fold_old_batch_norms",
        "fold_batch_norms",
        "canonical_forms",
        "split_grouped_convolutions",
        "lower_operations",
        "remove_default_attributes",
    ),
}

#: What stands for the target's sequence.
_SEQUENCE = "default"
#: What runs behind third parties' passes.
_LAST = "remove_default_attributes"


def known_names(others: Sequence[Pass] = ()) -> List[str]:
    """What a user can name: passes and groups, sorted. others: the passes of third parties."""
    return sorted([item.name for item in (*PASSES, *others)] + list(GROUPS))


def passes_for(
    target: str,
    chosen: Iterable[str],
    left_out: Iterable[str],
    others: Sequence[Pass] = (),
    folder: Optional[Path] = None,
    or_sequence: bool = True,
) -> Tuple[Pass, ...]:
    """The passes to run.

    target: whose sequence to take; an unknown or empty one gets the default.
    chosen: run exactly these, in this order, whatever the target; none means the target's sequence, which is also what
        `default` stands for. Each text names one or more, with options where it says so (see `_arguments.py`).
    left_out: of those, do not run these.
    others: the passes of third parties; those that are there for the target run before the attributes are dropped.
    folder: where files lie that options name.
    or_sequence: whether none chosen means the target's sequence; else it means none.

    Raises StepError UNKNOWN_RULE or INVALID_OPTION.
    """
    passes = {item.name: item for item in (*PASSES, *others)}
    calls = [call for text in chosen for call in parse_calls(text)]
    if not calls and or_sequence:
        calls = [Call(_SEQUENCE)]
    sequence = [Call(name) for name in _sequence(target, others)]
    calls = [item for call in calls for item in (sequence if call == Call(_SEQUENCE) else [call])]
    unwanted = frozenset(call.name for text in left_out for call in _expanded(parse_calls(text), passes))
    return tuple(
        with_arguments(passes[call.name], call.arguments, folder)
        for call in _expanded(calls, passes)
        if call.name not in unwanted
    )


def _sequence(target: str, others: Sequence[Pass]) -> Iterator[str]:
    for name in SEQUENCES.get(target, DEFAULT):
        if name == _LAST:
            yield from (item.name for item in others if target in item.runs_for)
        yield name


def _expanded(calls: Iterable[Call], passes: Dict[str, Pass]) -> Iterator[Call]:
    for call in calls:
        if call.name in passes:
            yield call
        elif call.name not in GROUPS:
            raise _unknown(call.name, sorted([*passes, *GROUPS]))
        elif call.arguments:
            raise StepError(
                "INVALID_OPTION",
                "{} stands for several rules and has no options. Name the rule that you mean: {}.".format(
                    call.name, ", ".join(GROUPS[call.name])
                ),
                {"rule": call.name, "rules": list(GROUPS[call.name])},
            )
        else:
            yield from _expanded([Call(name) for name in GROUPS[call.name]], passes)


def _unknown(name: str, names: Sequence[str]) -> StepError:
    known = sorted(names, key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())
    return StepError(
        "UNKNOWN_RULE",
        "There is no rewrite rule {!r}. Did you mean {!r}? There are: {}.".format(name, known[0], ", ".join(known)),
        {"rule": name, "known": known},
    )
