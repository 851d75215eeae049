"""What was changed to make an inference graph of a training graph, for the report and for the reference run."""

from dataclasses import dataclass
from typing import Any, Dict, Tuple

#: How many nodes a change names.
_NAMED = 20


@dataclass(frozen=True)
class Change:
    """One change, as a sentence, and the nodes that it was made to."""

    what: str
    nodes: Tuple[str, ...]

    def fact(self) -> Dict[str, Any]:
        """The change as facts tell it."""
        return {"what": self.what, "nodes": list(self.nodes[:_NAMED]), "count": len(self.nodes)}
