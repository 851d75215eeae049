"""The step ``freeze-saved-model``: one signature of a SavedModel becomes a frozen graph, with no session."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
from modelmill_worker import graph_def, saved_model, source_files
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import NodeDef
from modelmill_worker.options import option
from modelmill_worker.plugin_api import Step, Tree
from modelmill_worker.saved_model import SavedModel

from modelmill_freezer._saved_keys import name_after_saved_keys
from modelmill_freezer._signature_freezing import Source, freeze_source, wanted_ends
from modelmill_freezer._steps import FreezeOptions
from modelmill_freezer._tables import VocabulariesAmong
from modelmill_freezer.inference.inference_graph import InferenceGraph, make_inference_graph


@dataclass(frozen=True)
class SavedModelFreezing(FreezeOptions):
    """What the frozen graph must compute, and of which part of the SavedModel."""

    signature_key: str = option("", "A SavedModel's signature; serving_default, or the only one, where empty.")
    tags: Tuple[str, ...] = option((), "Tags of a SavedModel's graph; serve, or those of the first, where empty.")


def freeze_saved_model(step: Step) -> Dict[str, Any]:
    """A SavedModel of TensorFlow 1 or 2 becomes a frozen graph; inputs and outputs are called as in the signature."""
    from modelmill_freezer._tensorflow import library_of

    tree = step.inputs["model"]
    path = saved_model.find(tree)
    step.progress(0.0, "reading {}".format(path.name))
    model = saved_model.read(path, step.options.signature_key, step.options.tags)
    inferring = _inferring(model, step.options)
    name_after_saved_keys(model.graph, model.meta_graph.saver_def.restore_op_name, library_of(model.graph))
    assets = _Assets(model, path.parent, tree)
    source = Source(model.graph, inferring.endpoints, _initialisers(model), _Values(tree, path.parent), assets.content)
    facts = freeze_source(step, source)
    facts.update(graph=path.name, signature=model.signature_key, tags=list(model.tags))
    facts["changes"] = [change.fact() for change in inferring.changes] + facts["changes"]
    facts["notes"] = list(inferring.notes) + facts["notes"]
    return facts


def _inferring(model: SavedModel, options: SavedModelFreezing) -> InferenceGraph:
    """The ends that are wanted. A signature's graph is for inference as it is, unless placeholders are to be settled.

    A SavedModel without any signature is treated as a graph, of which the outputs must be named.
    Raises StepError SIGNATURE_NOT_FOUND, and what `make_inference_graph` and `wanted_ends` raise.
    """
    if model.signature is None and not (options.outputs and not model.signature_keys):
        model.called()
    if model.signature is None:
        return make_inference_graph(model.graph, options.outputs, options.inputs, options.settings)
    ends = wanted_ends(model.signature, options.outputs, options.inputs)
    if not options.settings:
        return InferenceGraph(ends, (), ())
    outputs, inputs = [it.tensor for it in ends.outputs], [it.tensor for it in ends.inputs]
    made = make_inference_graph(model.graph, outputs, inputs, options.settings)
    return replace(made, endpoints=replace(ends, reference=made.endpoints.reference))


#: Where a MetaGraphDef says what to run once: of TensorFlow 2, of TensorFlow 1, and of TensorFlow 1 before 1.5.
_INITIALISING_SIGNATURE = "__saved_model_init_op"
_INITIALISING_COLLECTIONS = ("saved_model_main_op", "legacy_init_op", "table_initializer")


def _initialisers(model: SavedModel) -> Tuple[str, ...]:
    meta_graph = model.meta_graph
    names: List[str] = []
    for key in _INITIALISING_COLLECTIONS:
        if key in meta_graph.collection_def:
            names += meta_graph.collection_def[key].node_list.value
    if _INITIALISING_SIGNATURE in meta_graph.signature_def:
        names += [info.name for info in meta_graph.signature_def[_INITIALISING_SIGNATURE].outputs.values()]
    nodes = graph_def.nodes_by_name(model.graph)
    # A saver restores tables into the graph with the operations that fill them.
    restoring = graph_def.node_name(meta_graph.saver_def.restore_op_name)
    wanted = [graph_def.node_name(name) for name in names] + [restoring]
    return tuple(name for name in wanted if name in nodes)


class _Assets:
    """The files that a SavedModel brings along, by the nodes that hold their paths."""

    def __init__(self, model: SavedModel, folder: Path, tree: Tree) -> None:
        self._folder = folder
        self._others = VocabulariesAmong(source_files.survey(tree))  # TensorFlow 2.0 forgets its assets.
        self._files: Dict[str, str] = {}
        for asset in _asset_files(model.meta_graph):
            self._files[graph_def.node_name(asset.tensor_info.name)] = asset.filename
        for node in model.graph.node:  # TensorFlow 2 keeps a path in a variable.
            source = graph_def.node_name(node.input[1]) if node.op == "AssignVariableOp" else ""
            if source in self._files:
                self._files[graph_def.node_name(node.input[0])] = self._files[source]

    def content(self, node: NodeDef) -> Optional[bytes]:
        """The file whose path a node holds; None where the SavedModel has no such file."""
        path = self._folder / "assets" / self._files[node.name] if node.name in self._files else None
        return path.read_bytes() if path is not None and path.is_file() else self._others.content(node)


def _asset_files(meta_graph: Any) -> List[Any]:
    """The AssetFileDefs; TensorFlow 1 had them in a collection too, and before 1.10 nowhere else."""
    found = list(meta_graph.asset_file_def)
    if not found and "saved_model_assets" in meta_graph.collection_def:
        for packed in meta_graph.collection_def["saved_model_assets"].any_list.value:
            asset = meta_graph.asset_file_def.add()
            asset.ParseFromString(packed.value)
            found.append(asset)
    return found


class _Values(Mapping):  # type: ignore[type-arg]
    """The values in a SavedModel's folder ``variables``, which only a model with variables has.

    Raises StepError CHECKPOINT_MISSING, CHECKPOINT_INCOMPLETE or CHECKPOINT_UNREADABLE when it is first used.
    """

    def __init__(self, tree: Tree, folder: Path) -> None:
        self._tree = tree
        self._folder = folder
        self._opened: Any = None

    def _values(self) -> Any:
        from modelmill_freezer._tensorflow import CheckpointValues

        if self._opened is None:
            folder = self._folder / "variables"
            files = [file for file in source_files.survey(self._tree) if file.path.parent == folder]
            if not source_files.has_checkpoint(files):
                raise StepError(
                    "CHECKPOINT_MISSING",
                    "The SavedModel has variables, and their values are not there: its folder variables is missing or "
                    "empty. Give the SavedModel's whole folder.",
                    {"files": list(self._tree.files)},
                )
            self._opened = CheckpointValues(source_files.choose_checkpoint(files).prefix)
        return self._opened

    def __getitem__(self, key: str) -> np.ndarray:
        value: np.ndarray = self._values()[key]
        return value

    def __contains__(self, key: object) -> bool:  # Mapping's own would read the value.
        return key in self._values()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())
