"""Which TensorFlow versions read a model: the fact `tensorflow`."""

from typing import AbstractSet, Any, Dict, Iterable, List, Tuple

from modelmill_worker import op_versions
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.op_versions import Verdict
from modelmill_worker.saved_model import SavedModel

#: From this version on, TensorFlow comes with Keras 3.
_FIRST_WITH_KERAS_3 = (2, 16)


def of_graph(graph: GraphDef, needed: AbstractSet[str], writer: str = "") -> Dict[str, Any]:
    """Of a GraphDef of which these nodes are needed; `writer`: the version that wrote it, where that is known."""
    return fact(op_versions.judge(graph, needed).values(), writer)


def of_saved_model(model: SavedModel) -> Dict[str, Any]:
    """Of a SavedModel, as TensorFlow's own loader reads it.

    That is tf.saved_model.load in TensorFlow 2 and tf.saved_model.loader.load in TensorFlow 1.

    Both import all nodes, needed or not, and TensorFlow 2's all functions too, where the model has TensorFlow 2's
    objects. Where `meta_info_def.stripped_op_list` says how the writer defined its operations, as each writer since 1.0
    has it, a loader drops unknown attributes that have their default by itself, but from nodes only, not from
    functions (python/framework/importer.py, _RemoveDefaultAttrs).
    """
    graph, information = model.graph, model.meta_graph.meta_info_def
    objects = list(model.meta_graph.object_graph_def.nodes)
    reached = op_versions.judge(graph)
    everything = op_versions.judge(graph, every_function=True) if objects else reached
    functions = op_versions.judge(graph, frozenset(), every_function=True)
    drops = len(information.stripped_op_list.op) > 0
    has_slots = any(len(node.slot_variables) for node in objects)
    verdicts = []
    for version in op_versions.versions():
        verdict = (everything if _numbers(version) >= (2, 0) else reached)[version]
        if verdict.reason:
            verdicts.append(verdict)
        elif has_slots and _numbers(version) >= _FIRST_WITH_KERAS_3:
            verdicts.append(Verdict(version, reason=_SLOTS))
        elif drops and not functions[version].reason:
            verdicts.append(Verdict(version, functions[version].dropped, verdict.ignored))
        else:
            verdicts.append(verdict)
    frozen = fact([reached[version] for version in op_versions.versions()])
    return {**fact(verdicts, information.tensorflow_version), "frozen": {key: frozen[key] for key in _READING}}


#: What says which versions read something.
_READING = ("readable", "readable_stripped", "ignored", "unreadable")
#: Measured with corpus models: "'_UserObject' object has no attribute 'add_slot'".
_SLOTS = (
    "it holds the state of a Keras 2 optimizer, which TensorFlow loads up to 2.15; "
    "save the model with include_optimizer=False"
)


def fact(verdicts: Iterable[Verdict], writer: str = "", keras: str = "") -> Dict[str, Any]:
    """The fact `tensorflow`, as docs/architecture.md has it."""
    readable: List[str] = []
    stripped: Dict[str, List[str]] = {}
    unreadable: Dict[str, str] = {}
    ignored: Dict[str, List[str]] = {}
    for verdict in verdicts:
        if verdict.reason:
            unreadable[verdict.version] = verdict.reason
        elif verdict.dropped:
            stripped[verdict.version] = list(verdict.dropped)
        else:
            readable.append(verdict.version)
            if verdict.ignored:
                ignored[verdict.version] = list(verdict.ignored)
    return {
        "writer": writer,
        "keras": keras,
        "readable": readable,
        "readable_stripped": stripped,
        "ignored": ignored,
        "unreadable": unreadable,
    }


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
