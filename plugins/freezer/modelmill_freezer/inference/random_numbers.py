"""Random numbers that an inference graph still draws: noise that is no dropout, or a model that samples."""

import re
from typing import Iterable, List

from modelmill_worker.dataflow import Dataflow
from modelmill_worker.graph_def import GraphDef, NodeDef

_RANDOM = re.compile(
    r"Random(Uniform|UniformInt|StandardNormal|Gamma(V2)?|Poisson(V2)?|Shuffle)|TruncatedNormal|ParameterizedTruncatedNormal"
    r"|Multinomial|StatelessRandom.*|StatelessMultinomial|StatelessTruncatedNormal(V2)?"
)


def drawn(graph: GraphDef, outputs: Iterable[str]) -> List[str]:
    """The nodes that draw random numbers which the outputs depend on, and draw others in every session."""
    needed = Dataflow(graph).ancestors(outputs)
    return [
        node.name for node in graph.node if node.name in needed and _RANDOM.fullmatch(node.op) and not _seeded(node)
    ]


def _seeded(node: NodeDef) -> bool:
    """Whether a node draws the same numbers in every run: a seed of its own, or one that it is given."""
    if node.op.startswith("Stateless"):
        return True
    return any(attribute in node.attr and node.attr[attribute].i for attribute in ("seed", "seed2"))
