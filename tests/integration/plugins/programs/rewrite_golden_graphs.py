"""Run by the oldest Python: every rule on its golden graphs, and every target's sequence after it.

Takes the folder of the golden pairs; prints how many graphs were rewritten. No newer syntax than Python 3.6's.
"""

import re
import sys
from pathlib import Path

from google.protobuf import text_format
from modelmill_rewriter import calibrating, modelmill_plugins, previewing, proving, steps
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules_api import Interface, Target, Tensor
from modelmill_rewriter.sequences import passes_for
from modelmill_worker import graph_def


def rewrite_all(folder):
    count = 0
    for path in sorted(folder.glob("*/*.before.pbtxt")):
        text = path.read_text(encoding="utf-8")
        message = graph_def.new_graph()
        text_format.Parse(text, message)
        given = {key: value.split() for key, value in re.findall(r"^# (\w+): (.*)$", text, re.MULTILINE)}
        interface = Interface(*(tuple(map(Tensor, given[side])) for side in ("inputs", "outputs")))
        own = passes_for("", [" ".join(given.get("rule", [path.parent.name]))], [])
        for target in ("tflite", "tfjs", ""):
            passes = own + passes_for(target, [], [])
            count += (
                len(rewrite_graph(graph_def.copy(message), interface, passes, Target(target, (1, 9))).graph.node) > 0
            )
    return count


if __name__ == "__main__":
    assert [plugin.name for plugin in modelmill_plugins()] == ["rewriter"]
    assert all(module.__doc__ for module in (calibrating, previewing, proving, steps))
    print(rewrite_all(Path(sys.argv[1])))
