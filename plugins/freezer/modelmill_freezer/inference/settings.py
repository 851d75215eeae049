"""Placeholders that choose between training and inference: each becomes the constant that inference wants.

Names tell most of them (`is_training`, `keras_learning_phase`, `keep_prob`). A truth value of another name is known by
its use: the branch that drops out or normalises with the batch's own statistics is the one for training.
"""

import json
import re
from typing import Collection, List, Mapping, Optional

import numpy as np
from modelmill_worker import graph_def, setting_names, tensors
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.graph_outputs import FED
from modelmill_worker.reference_run import StandIn

from modelmill_freezer._nearest_names import nearest_names
from modelmill_freezer.inference.changes import Change
from modelmill_freezer.inference.tensor_uses import become

_BRANCHES = ("Switch", "RefSwitch", "If", "StatelessIf")
#: What only a branch for training does.
_TRAINS = re.compile(r"(Stateless)?Random(Uniform|StandardNormal|UniformInt)(V2)?|TruncatedNormal")


class Settings:
    """Settles the settings of one graph, in place, and remembers what the source must be fed with to do the same."""

    def __init__(self, graph: GraphDef) -> None:
        self._graph = graph
        self._flow = Dataflow(graph)
        self.changes: List[Change] = []
        self.stand_ins: List[StandIn] = []

    def settle(self, given: Mapping[str, str], fed: Collection[str]) -> None:
        """Make constants of what the user has set, and of what chooses training, unless it is to be fed.

        given: values by node or tensor name, as JSON text: "false", "1", "[1, 2]".
        fed: nodes that stay placeholders.

        Raises StepError SETTING_NOT_FOUND, SETTING_MISMATCH or TENSOR_NAME_MALFORMED.
        """
        for name, text in given.items():
            node = self._placeholder(name)
            value = _value_of(node, name, text)
            declared = graph_def.shape_of_placeholder(node, self._graph.versions.producer)
            if not tensors.shapes_agree(declared, value.shape):
                raise StepError(
                    "SETTING_MISMATCH",
                    "{} has the shape {}, which {} does not fit.".format(name, list(declared or ()), text),
                    {"name": name, "declared": list(declared or ()), "value": text},
                )
            self._become(node, value, "as told")
        for node in self._graph.node:
            value = self._inference_value(node) if node.op in FED and node.name not in fed else None
            if value is not None:
                self._become(node, value, "for inference")

    def _placeholder(self, name: str) -> NodeDef:
        node = self._flow.nodes.get(graph_def.node_name(graph_def.tensor_name(name)))
        if node is not None and node.op in FED:
            return node
        placeholders = [other.name for other in self._graph.node if other.op in FED]
        nearest = nearest_names(name, placeholders) or placeholders[:5]
        raise StepError(
            "SETTING_NOT_FOUND",
            "The graph has no placeholder {} that could be set. It has: {}.".format(name, ", ".join(nearest) or "none"),
            {"name": name, "nearest": nearest},
        )

    def _become(self, node: NodeDef, value: np.ndarray, why: str) -> None:
        kind = tensors.data_type(node.attr["dtype"].type)
        become(node, graph_def.new_constant(node.name, value, kind))
        plain = value.item().decode("utf-8") if kind is tensors.STRING else value.tolist()
        self.changes.append(Change("{} is {}, {}.".format(node.name, json.dumps(plain), why), (node.name,)))
        self.stand_ins.append(StandIn(node.name + ":0", value=plain))

    def _inference_value(self, node: NodeDef) -> Optional[np.ndarray]:
        """The value that makes the graph infer; None where the placeholder is no such setting."""
        shape = graph_def.shape_of_placeholder(node, self._graph.versions.producer)
        kind = tensors.data_type(node.attr["dtype"].type).name
        if shape not in (None, ()) or (kind != "bool" and kind not in tensors.FLOATING):
            return None
        named = setting_names.inference_value(node.name, kind)
        if named is not None:
            return np.array(named, np.float32 if kind == "bfloat16" else kind)
        if kind != "bool":
            return None
        known = self._default(node) if node.op == "PlaceholderWithDefault" else self._told_by_use(node)
        return None if known is None else np.array(known)

    def _default(self, node: NodeDef) -> Optional[bool]:
        """The constant default of a truth value that decides a condition."""
        default = self._flow.nodes[graph_def.node_name(node.input[0])]
        if default.op != "Const" or not self._conditions(node):
            return None
        return bool(graph_def.constant_value(default))

    def _told_by_use(self, node: NodeDef) -> Optional[bool]:
        """The value for which no branch is taken that only training takes."""
        trains = {truth: any(self._trains(switch, truth) for switch in self._conditions(node)) for truth in (0, 1)}
        return None if trains[0] == trains[1] else bool(trains[0])

    def _conditions(self, node: NodeDef) -> List[NodeDef]:
        """What the truth value itself, not its opposite, decides."""
        names = [node.name] + [user for user in self._flow.consumers[node.name] if self._is_identity(user)]
        users = [self._flow.nodes[user] for name in names for user in self._flow.consumers[name]]
        return [user for user in users if user.op in _BRANCHES]

    def _is_identity(self, name: str) -> bool:
        return self._flow.nodes[name].op == "Identity"

    def _trains(self, switch: NodeDef, truth: int) -> bool:
        """Whether what one side of a Switch leads to, up to the next Merge, draws random numbers."""
        if switch.op not in ("Switch", "RefSwitch"):
            return False
        side = switch.name + ":1" if truth else switch.name
        waiting = [user for user in self._flow.consumers[switch.name] if side in self._flow.nodes[user].input]
        seen = set()
        while waiting:
            name = waiting.pop()
            node = self._flow.nodes[name]
            if name in seen or node.op in ("Merge", "RefMerge"):
                continue
            seen.add(name)
            if _TRAINS.fullmatch(node.op) or _normalises_batches(node):
                return True
            waiting.extend(self._flow.consumers[name])
        return False


def _normalises_batches(node: NodeDef) -> bool:
    return node.op.startswith("FusedBatchNorm") and "Grad" not in node.op and _is_set(node, "is_training")


def _is_set(node: NodeDef, attribute: str) -> bool:
    return attribute not in node.attr or bool(node.attr[attribute].b)


def _value_of(node: NodeDef, name: str, text: str) -> np.ndarray:
    kind = tensors.data_type(node.attr["dtype"].type).name
    try:
        if kind == "string":
            return np.array(text.encode("utf-8"), dtype=object)
        value = np.array(json.loads(text.strip().lower()))
        wanted = np.dtype(np.float32 if kind == "bfloat16" else kind)
        if wanted.kind == "b" and not np.isin(value, (0, 1)).all():
            raise ValueError("it is neither true nor false")
        if value.dtype.kind not in "biuf" or (wanted.kind in "iu" and not np.array_equal(value, value.astype(wanted))):
            raise ValueError("it is none of that type")
        return value.astype(wanted)
    except (TypeError, ValueError) as error:
        raise StepError(
            "SETTING_MISMATCH",
            "{} is {}, which cannot be set to {!r}. Give a value such as false, 1 or [0.5, 0.5].".format(
                name, kind, text
            ),
            {"name": name, "dtype": kind, "value": text, "error": str(error)},
        ) from error
