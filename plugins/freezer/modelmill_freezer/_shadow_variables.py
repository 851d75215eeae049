"""The moving averages that a training graph keeps of its variables (tf.train.ExponentialMovingAverage), by key."""

from typing import Container, Dict, List, Sequence

from modelmill_worker import graph_def
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef

from modelmill_freezer.inference.moving_averages import find_averagings

#: The name that ExponentialMovingAverage has unless it is given one; a shadow is called "variable/name".
_DEFAULT_NAME = "ExponentialMovingAverage"
_READS = ("Identity", "ReadVariableOp", "Switch", "RefSwitch", "RefIdentity")


def find_shadows(graph: GraphDef, variables: Sequence[str], keys: Container[str]) -> Dict[str, str]:
    """The variables of which the checkpoint has moving averages, and the keys of those averages.

    variables: names of nodes.
    keys: the checkpoint's.
    An average of any name is found where the graph has the operation that updates it; elsewhere by the default name.
    Raises StepError MOVING_AVERAGES_MISSING where there is none at all.
    """
    updated = _updated(graph)
    shadows = {}
    for variable in variables:
        for name in updated.get(variable, []) + ["{}/{}".format(variable, _DEFAULT_NAME)]:
            if name in keys:
                shadows[variable] = name
                break
    if not shadows:
        raise StepError(
            "MOVING_AVERAGES_MISSING",
            "The checkpoint has no moving average of any variable that the outputs need, such as {}/{}. "
            "Freeze without use_moving_averages, or give a checkpoint that was saved with them.".format(
                variables[0] if variables else "weights", _DEFAULT_NAME
            ),
            {"variables": list(variables)},
        )
    return shadows


def _updated(graph: GraphDef) -> Dict[str, List[str]]:
    """Averages by the variables that they average, not by other tensors such as a batch's mean."""
    flow = Dataflow(graph)
    found: Dict[str, List[str]] = {}
    for averaging in find_averagings(graph):
        source = flow.passed_on(graph_def.node_name(averaging.tensor), _READS)[-1]
        if flow.nodes[source].op in graph_def.VARIABLES:
            found.setdefault(source, []).append(averaging.variable)
    return found


def refuse_shadows(asked: bool) -> None:
    """Raise StepError MOVING_AVERAGES_MISSING where averages are asked for of a model that is no checkpoint."""
    if asked:
        raise StepError(
            "MOVING_AVERAGES_MISSING",
            "Moving averages are taken from a checkpoint, and this model is none. "
            "Give the checkpoint with its graph, or freeze without use_moving_averages.",
            {},
        )
