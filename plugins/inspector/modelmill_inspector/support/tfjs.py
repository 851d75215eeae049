"""Whether each tensorflowjs takes a graph: it looks each operation up in a list, before it folds anything."""

from typing import Any, Dict, List, Tuple

from modelmill_inspector.support import tables
from modelmill_inspector.support.letters import Lookup
from modelmill_inspector.support.tables import MISSING, UNKNOWN
from modelmill_inspector.support.verdicts import Source, Verdict, counted, named


def judge(source: Source) -> List[Verdict]:
    """A verdict for each tensorflowjs, oldest first."""
    lookup = Lookup(tables.tfjs())
    found = [lookup.letters(use) for use in source.uses]
    return [
        _verdict(source, told, tuple(letters[index] for letters in found))
        for index, told in enumerate(tables.tfjs().versions)
    ]


def _verdict(source: Source, told: Dict[str, Any], letters: Tuple[str, ...]) -> Verdict:
    reader = ".".join(told["tensorflow"].split(".")[:2])
    version = ".".join(told["version"].split(".")[:2])
    if reader in source.unreadable:
        why = "Its TensorFlow {} does not read the graph: {}.".format(reader, source.unreadable[reader])
        return Verdict("tfjs", version, "", "", (), why)
    missing = counted(source.uses, letters, MISSING + UNKNOWN)
    why = "TensorFlow.js has nothing for {}.".format(named(missing)) if missing else ""
    return Verdict("tfjs", version, "", "" if missing else "builtin", letters, why)
