"""Nodes under other names.

    node "old" -> node "new"

A ``*`` in the old name stands for anything, and the ``*`` of the new name for the same: ``tower_0/*`` to ``*``. Who
reads, awaits or lies beside a node follows it; an input or output of the model is still known to people by its name.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Dict

from modelmill_rewriter.rules.editing._named import impossible, not_found
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target, argument


@dataclass(frozen=True)
class RenameNodes(Pass):
    """Renames nodes, by a pattern where several are meant."""

    name: ClassVar[str] = "rename_nodes"
    summary: ClassVar[str] = "Renames nodes: old=tower_0/*, new=*."
    changes_interface: ClassVar[bool] = True

    old: str = argument("", "The node's name; one * stands for anything.")
    new: str = argument("", "Its new name; one * stands for the same.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Rename all at once, so that names may change places."""
        del target
        if not self.old or not self.new or self.old.count("*") > 1 or self.old.count("*") != self.new.count("*"):
            raise impossible(self.name, "give old= and new=, with one * in both or in neither")
        pattern = re.compile(re.escape(self.old).replace("\\*", "(.*)"))
        names: Dict[str, str] = {}
        for name in graph.names():
            match = pattern.fullmatch(name)
            if match is not None:
                names[name] = self.new.replace("*", match.group(1)) if match.groups() else self.new
        if not names:
            raise not_found(graph, self.name, self.old)
        changed = {old: new for old, new in names.items() if old != new}
        taken = Counter(changed.values())
        for old, new in changed.items():
            if not new or (new in graph and new not in changed) or taken[new] > 1:
                raise impossible(self.name, "{!r} would be called {!r}, which is taken".format(old, new), node=old)
        if not changed:
            return Report(self.name)
        graph.rename(changed)
        return Report(self.name, tuple(Firing((old,), (new,)) for old, new in changed.items()))
