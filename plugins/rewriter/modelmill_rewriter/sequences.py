"""Which passes run for which target, in which order: data, and the choice that a user makes from it."""

import difflib
from typing import Dict, Iterable, List, Tuple

from modelmill_worker.errors import StepError

from modelmill_rewriter.rules import PASSES
from modelmill_rewriter.rules_api import Pass

#: Sequences that have a name of their own, which stands for all that is in them.
GROUPS: Dict[str, Tuple[str, ...]] = {
    "remove_training_nodes": (
        "remove_control_dependencies",
        "prune_unused",
        "remove_dropout",
        "remove_identities",
    ),
}

#: What a graph for any other target gets. Attributes go last: rules write for the newest version that they know.
DEFAULT = ("remove_training_nodes", "prelu", "remove_default_attributes")

#: By the target's name. The orders agree so far: both converters know PReLU by the same spelling.
SEQUENCES: Dict[str, Tuple[str, ...]] = {
    "tflite": ("remove_training_nodes", "prelu", "remove_default_attributes"),
    "tfjs": ("remove_training_nodes", "prelu", "remove_default_attributes"),
}

_PASSES: Dict[str, Pass] = {item.name: item for item in PASSES}


def known_names() -> List[str]:
    """What a user can name: passes and groups, sorted."""
    return sorted(list(_PASSES) + list(GROUPS))


def passes_for(target: str, chosen: Tuple[str, ...], left_out: Tuple[str, ...]) -> Tuple[Pass, ...]:
    """The passes to run.

    target: whose sequence to take; an unknown or empty one gets the default.
    chosen: run exactly these, in this order, whatever the target; none means the target's sequence.
    left_out: of those, do not run these.

    Raises StepError UNKNOWN_RULE.
    """
    names = _expanded(chosen or SEQUENCES.get(target, DEFAULT))
    unwanted = frozenset(_expanded(left_out))
    return tuple(_PASSES[name] for name in names if name not in unwanted)


def _expanded(names: Iterable[str]) -> List[str]:
    expanded: List[str] = []
    for name in names:
        if name in GROUPS:
            expanded.extend(GROUPS[name])
        elif name in _PASSES:
            expanded.append(name)
        else:
            raise _unknown(name)
    return expanded


def _unknown(name: str) -> StepError:
    known = sorted(known_names(), key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())
    return StepError(
        "UNKNOWN_RULE",
        "There is no rewrite rule {!r}. Did you mean {!r}? There are: {}.".format(name, known[0], ", ".join(known)),
        {"rule": name, "known": known},
    )
