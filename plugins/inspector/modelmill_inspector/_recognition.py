"""What the files that a user handed in are together: one model of one kind, or an error that says what is wrong."""

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Sequence

from modelmill_worker import graph_def, graph_outline, meta_graph_signature, saved_model, signature, source_files
from modelmill_worker.errors import StepError
from modelmill_worker.file_formats import GRAPH_FORMATS, FileFormat
from modelmill_worker.plugin_api import Tree
from modelmill_worker.source_files import SourceFile, of_formats

from modelmill_inspector import (
    _keras_facts,
    _keras_file,
    _keras_versions,
    _saved_model,
    _tensorflow_versions,
    tfjs,
    tflite,
)
from modelmill_inspector._options import InspectOptions
from modelmill_inspector.graphs import describe_graph, find_endpoints, named_endpoints, needs_checkpoint

#: Formats of which one file is a whole model, and the kind of artifact that it is.
_SINGLE_FILES = {
    FileFormat.TFLITE: "tflite",
    FileFormat.HDF5: "keras.h5",
    FileFormat.KERAS_ARCHIVE: "keras.v3",
    FileFormat.TFJS_GRAPH_MODEL: "tfjs.graph_model",
    FileFormat.TFJS_LAYERS_MODEL: "tfjs.layers_model",
}
_GENERAL_ADVICE = "Give a checkpoint's prefix, a graph, a SavedModel's folder or a model file."
#: What to do with files that hold a model in a way.
_ADVICE = {
    FileFormat.GZIP: "Unpack it, and give what is in it.",
    FileFormat.ZIP: "Unpack it, and give what is in it.",
    FileFormat.GIT_LFS_POINTER: "Fetch the file itself with `git lfs pull`.",
    FileFormat.HTML: "A download brought a page instead of the file: fetch the file itself.",
    FileFormat.CHECKPOINT_STATE: "The checkpoint that it names is not there: give the folder or prefix of one.",
}
_DEFAULTS = InspectOptions()
#: How many file names an error lists.
_LISTED = 8
#: How many inputs or outputs a description names.
_NAMED = 5


@dataclass(frozen=True)
class Recognised:
    """A model: its kind, what is known of it, and what the report should say besides."""

    kind: str
    facts: Dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def recognise_source(tree: Tree, options: InspectOptions = _DEFAULTS) -> Recognised:
    """The model that lies in the tree, as its files' content tells.

    Raises StepError NO_MODEL_FOUND, AMBIGUOUS_SOURCE, EMPTY_FILE, CHECKPOINT_INCOMPLETE, CHECKPOINT_MISSING,
    CHECKPOINT_UNREADABLE, GRAPH_MISSING, GRAPH_DEF_DAMAGED, KERAS_WEIGHTS_ONLY,
    KERAS_FILE_DAMAGED, TFLITE_DAMAGED, TFJS_MODEL_DAMAGED, WEIGHTS_MISSING or WEIGHTS_DAMAGED.
    """
    files = source_files.survey(tree)
    if signature.FILE_NAME in tree.files:
        return _recognise_own_artifact(tree, files, options)
    saved_models = of_formats(files, *saved_model.FORMATS)
    folders = [file.name[: -len(file.path.name)] for file in saved_models]
    others = [file for file in files if not any(file.name.startswith(folder) for folder in folders)]
    singles = of_formats(others, *_SINGLE_FILES)
    graphs = of_formats(others, *GRAPH_FORMATS, FileFormat.GRAPH_DEF_TRUNCATED)
    _refuse_several(saved_models, singles, others)
    if saved_models:
        return _recognise_saved_model(tree, saved_models[0], options)
    if singles:
        return _recognise_single(tree, singles[0])
    if source_files.has_checkpoint(others):
        return _recognise_checkpoint(others, options)
    if graphs:
        return _recognise_graph(others, options)
    arrays = of_formats(others, FileFormat.NPZ)
    if len(arrays) == len(files) == 1:
        return Recognised("dataset", {"description": "NumPy arrays in {}".format(arrays[0].name)})
    raise _no_model(files)


def _refuse_several(
    saved_models: Sequence[SourceFile], singles: Sequence[SourceFile], others: Sequence[SourceFile]
) -> None:
    """A folder is one model: a SavedModel beside a .tflite is nothing that we should choose from."""
    models = [file.name for file in saved_models] + [file.name for file in singles]
    if models and (source_files.has_checkpoint(others) or of_formats(others, *GRAPH_FORMATS)):
        rest = [FileFormat.CHECKPOINT_INDEX, FileFormat.CHECKPOINT_V1, *GRAPH_FORMATS]
        models += [file.name for file in of_formats(others, *rest)]
    if len(models) > 1:
        raise source_files.ambiguous("models", models, "Give one of them.")


def _recognise_own_artifact(tree: Tree, files: Sequence[SourceFile], options: InspectOptions) -> Recognised:
    """An artifact that modelmill made, told by its signature.json."""
    try:
        endpoints = signature.read(tree.path)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged_signature(error) from error
    for file in files:
        if file.format is FileFormat.GRAPH_DEF:
            _require_names_of_graphs(endpoints)
            graph = graph_outline.read(file.path)
            if options.outputs:
                endpoints = named_endpoints(graph, options.outputs)
            facts = describe_graph(graph, endpoints, input_shapes=options.input_shapes)
            return Recognised("tf.frozen_graph", dict(facts, description=_describe("A frozen graph", facts)))
        if file.format is FileFormat.NPZ:
            return Recognised("dataset", {"description": "NumPy arrays in {}".format(file.name)})
        if file.format in _SINGLE_FILES:
            found = _recognise_single(tree, file)
            sides = _describe_endpoints(endpoints)
            return Recognised(found.kind, dict(found.facts, **sides), found.notes)
    raise _no_model(files)


def _require_names_of_graphs(endpoints: signature.Signature) -> None:
    """A .tflite may call its tensors anything; a graph can't."""
    try:
        for tensor in endpoints.inputs + endpoints.outputs:
            graph_def.tensor_name(tensor.tensor)
    except (StepError, TypeError) as error:
        raise _damaged_signature(error) from error


def _damaged_signature(error: Exception) -> StepError:
    return StepError(
        "SIGNATURE_DAMAGED",
        "{} is not one that modelmill wrote. Leave it out, or convert the model again.".format(signature.FILE_NAME),
        {"error": str(error)},
    )


def _describe_endpoints(endpoints: signature.Signature) -> Dict[str, Any]:
    """Inputs and outputs as facts."""
    return {
        "inputs": [asdict(tensor) for tensor in endpoints.inputs],
        "outputs": [asdict(tensor) for tensor in endpoints.outputs],
    }


def _recognise_checkpoint(files: Sequence[SourceFile], options: InspectOptions) -> Recognised:
    checkpoint = source_files.choose_checkpoint(files)
    graph_file = source_files.choose_graph(files, checkpoint)
    graph = graph_outline.read(graph_file.path)
    facts = describe_graph(
        graph, _endpoints(graph, graph_file, options), _writer(graph_file), input_shapes=options.input_shapes
    )
    facts["checkpoint"], facts["graph"] = checkpoint.name, graph_file.name
    facts["description"] = _describe("The checkpoint {} with the graph".format(checkpoint.name), facts)
    notes = []
    names = source_files.checkpoint_names(files)
    if len(names) > 1:
        notes.append("Of {} checkpoints this is the one that TensorFlow's note calls the latest.".format(len(names)))
    if not facts["variables"]:
        notes.append(
            "{} has no variables that its outputs need: the checkpoint changes nothing.".format(graph_file.name)
        )
    return Recognised("tf.checkpoint", facts, notes)


def _endpoints(graph: graph_def.GraphDef, file: SourceFile, options: InspectOptions) -> signature.Signature:
    """Those of the outputs that were named, by the user or by the file's own signature, or of those found."""
    outputs = options.outputs or meta_graph_signature.read_outputs(file.path)
    return named_endpoints(graph, outputs) if outputs else find_endpoints(graph)


def _writer(graph_file: SourceFile) -> str:
    """The TensorFlow version that a MetaGraphDef says it was written by; a plain GraphDef does not say."""
    if graph_file.format is not FileFormat.META_GRAPH:
        return ""
    meta_graph = graph_outline.read_meta_graph(graph_file.path)
    return str(meta_graph.meta_info_def.tensorflow_version)


def _recognise_graph(files: Sequence[SourceFile], options: InspectOptions) -> Recognised:
    graph_file = source_files.choose_graph(files, None)
    graph = graph_outline.read(graph_file.path)
    if needs_checkpoint(graph):
        raise StepError(
            "CHECKPOINT_MISSING",
            "The graph {} has variables, and their values are not there. "
            "Give the checkpoint's prefix, such as model.ckpt-100, as the model "
            "and this file with --graph.".format(graph_file.name),
            {"graph": graph_file.name},
        )
    facts = describe_graph(
        graph, _endpoints(graph, graph_file, options), _writer(graph_file), input_shapes=options.input_shapes
    )
    facts["graph"] = graph_file.name
    facts["description"] = _describe("A graph", facts)
    return Recognised("tf.graph_def", facts)


def _recognise_saved_model(tree: Tree, file: SourceFile, options: InspectOptions) -> Recognised:
    folder = file.name[: -len(file.path.name)]
    inside = [name[len(folder) :] for name in tree.files if name.startswith(folder)]
    _saved_model.check_variables(file.path.parent, inside)
    model = saved_model.read(file.path, options.signature_key, options.tags, outline=True)
    versions = _tensorflow_versions.of_saved_model(model)
    endpoints = model.signature or find_endpoints(model.graph)
    if options.outputs:
        endpoints = named_endpoints(model.graph, options.outputs)
    facts = describe_graph(model.graph, endpoints, tensorflow=versions, input_shapes=options.input_shapes)
    facts.update(_saved_model.describe_signatures(model))
    return Recognised("tf.saved_model", dict(facts, description=_describe("A SavedModel", facts)))


def _recognise_single(tree: Tree, file: SourceFile) -> Recognised:
    kind = _SINGLE_FILES[file.format]
    facts: Dict[str, Any] = {}
    if file.format in (FileFormat.HDF5, FileFormat.KERAS_ARCHIVE):
        read = _keras_file.read_hdf5 if file.format is FileFormat.HDF5 else _keras_file.read_archive
        keras = read(file.path, file.name)
        facts = _keras_facts.describe_keras(file.path, file.name, keras)
        facts["tensorflow"] = _keras_versions.of_keras(keras)
    if file.format in (FileFormat.TFJS_GRAPH_MODEL, FileFormat.TFJS_LAYERS_MODEL):
        facts = tfjs.describe_tfjs(file, tree.files)
    if file.format is FileFormat.TFLITE:
        kind, facts = tflite.describe_tflite(file.path, file.name)
    return Recognised(kind, dict({"description": "{} is {}".format(file.name, file.format.value)}, **facts))


def _describe(what: str, facts: Dict[str, Any]) -> str:
    names = [
        ", ".join(tensor["name"] for tensor in facts[side][:5]) or "nothing known" for side in ("inputs", "outputs")
    ]
    return "{} of {:,} nodes and {:,} parameters: {} -> {}".format(what, facts["nodes"], facts["parameters"], *names)


def _no_model(files: Sequence[SourceFile]) -> StepError:
    empty = [file.name for file in files if file.format is FileFormat.EMPTY]
    if empty and len(empty) == len(files):
        return StepError("EMPTY_FILE", "{} is empty. Was it copied whole?".format(empty[0]), {"file": empty[0]})
    seen: List[str] = ["{} ({})".format(file.name, file.format.value) for file in files]
    more = " and {} more".format(len(seen) - _LISTED) if len(seen) > _LISTED else ""
    listed = "What is there: {}{}.".format(", ".join(seen[:_LISTED]), more) if seen else "There are no files."
    advice = next((_ADVICE[file.format] for file in files if file.format in _ADVICE), _GENERAL_ADVICE)
    return StepError(
        "NO_MODEL_FOUND",
        "No model was found. {} {}".format(listed, advice),
        {"files": {file.name: file.format.name for file in files}},
    )
