"""What a model could do to the machine that runs it, found by reading; nothing of the model is run or loaded.

    facts["security"] = security.scan_tree(tree, outputs=["prob:0"])

`scan_tree` reads every file of a source, whichever of them is taken for the model; `scan_graph` searches one GraphDef.
Either gives the fact `security`:

    {"highest": "none", or the worst severity among the findings,
     "findings": [{"severity", "reason", "node", "op", "where", "text", "count"}, ...],   worst first, at most 200
     "findings_count": how many there are, only where that is more than are listed,
     "scanned": {"files": n, "graphs": n, "nodes": n, "configurations": n}}

`reason` is stable and UPPER_SNAKE. `where` is a path from the file inwards, such as "saved_model.pb > function f" or
"graph.pb > attribute graph of node x"; empty for the graph that was handed over. `node` is the first of `count` alike.
What is looked for, what the severities mean and what cannot be seen: docs/security.md.
"""

from modelmill_inspector.security._files import scan_tree
from modelmill_inspector.security._findings import SEVERITIES, is_at_least
from modelmill_inspector.security._graphs import scan_graph

__all__ = ["SEVERITIES", "is_at_least", "scan_graph", "scan_tree"]
