"""Searches every file of a source by its format, whichever of them is taken for the model."""

import json
import mmap
import re
import zipfile
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, Iterator, Tuple

from google.protobuf import json_format
from modelmill_worker import file_formats, graph_def, graph_outline, protobuf_wire, saved_model, source_files
from modelmill_worker.errors import StepError
from modelmill_worker.file_formats import FileFormat
from modelmill_worker.graph_outputs import find_outputs
from modelmill_worker.plugin_api import Tree
from modelmill_worker.protobuf_wire import LENGTH_DELIMITED, MalformedMessageError
from modelmill_worker.source_files import SourceFile

from modelmill_inspector import _hdf5
from modelmill_inspector.security import _operations, _paths
from modelmill_inspector.security._archives import scan_archive, suspicious_start
from modelmill_inspector.security._findings import Finding, Findings, inside, shortened
from modelmill_inspector.security._graphs import GraphScan
from modelmill_inspector.security._hdf5_links import external_files
from modelmill_inspector.security._keras import KerasScan
from modelmill_inspector.security._reach import starts_of_outputs

#: Attributes of an HDF5 file in which Keras writes configurations.
_CONFIGURATIONS = ("model_config", "training_config")
_LAMBDA = re.compile(rb'"class_name"\s*:\s*"Lambda"')
#: A file of no known format is searched up to this size; of larger ones only the start is looked at.
_LARGEST_UNKNOWN = 32 * 2**20
_HEAD = 2**16
#: Of an HDF5 file in an archive so much is searched for links to other files.
_LARGEST_IN_ARCHIVE = 256 * 2**20
#: How many strings of a message are looked through for configurations, and how deep.
_MOST_STRINGS = 100_000
_DEEPEST = 8
#: Formats whose files hold numbers only, or were told by their name.
_PASSED = frozenset(
    [FileFormat.EMPTY, FileFormat.CHECKPOINT_INDEX, FileFormat.CHECKPOINT_DATA, FileFormat.CHECKPOINT_V1]
)


def scan_tree(
    tree: Tree,
    outputs: Iterable[str] = (),
    custom_operators: Iterable[str] = (),
    flex_operators: Iterable[str] = (),
) -> Dict[str, Any]:
    """The fact `security` (see the package) of a source.

    outputs: the tensors that the model is made for.
    custom_operators, flex_operators: a TFLite model's operators that TFLite itself has not, as the model names them;
        the latter ("FlexConv2D") run TensorFlow's operations.
    """
    scan = _FileScan(tuple(outputs))
    for name in tree.files:
        scan.search(name, tree)
    scan.findings.extend(map(_of_custom_operator, custom_operators))
    scan.findings.extend(map(_of_flex_operator, flex_operators))
    return scan.findings.facts()


#: Custom operators that TFLite's runtime, MediaPipe or the Edge TPU's bring along.
_COMMON_CUSTOM = frozenset(
    ["TFLite_Detection_PostProcess", "edgetpu-custom-op", "Convolution2DTransposeBias", "MaxPoolingWithArgmax2D"]
    + ["MaxUnpooling2D", "Mfcc", "AudioSpectrogram", "NumericVerify", "RFFT2D"]
)


def _of_custom_operator(name: str) -> Finding:
    text = "The operator {} is custom: a library of machine code beside TFLite runs it.".format(shortened(name))
    return Finding("info" if name in _COMMON_CUSTOM else "medium", "CUSTOM_OPERATOR", text, "", name)


def _of_flex_operator(name: str) -> Finding:
    operation = name[len("Flex") :] if name.startswith("Flex") else name
    danger = _operations.danger_of_operation(operation)
    if danger is None:
        text = "The operator {} runs TensorFlow's operation, for which TFLite needs its Flex library.".format(name)
        return Finding("info", "FLEX_OPERATOR", shortened(text), "", operation)
    return Finding(danger.severity, danger.reason, "The operation {} {}.".format(operation, danger.text), "", operation)


class _FileScan:
    def __init__(self, outputs: Tuple[str, ...]) -> None:
        self.findings = Findings()
        self._outputs = outputs
        self._graphs = GraphScan(self.findings)
        self._keras = KerasScan(self.findings)

    def search(self, name: str, tree: Tree) -> None:
        """Search one file; what cannot be read is a finding."""
        (file,) = source_files.survey(Tree(tree.kind, tree.path, (name,)))
        self.findings.files += 1
        if file.format is FileFormat.CHECKPOINT_DATA:  # That is only what it is called.
            start = _start_of(file)
            finding = suspicious_start(start, file.name)
            self.findings.extend([finding] if finding else [])
            found = file_formats.recognise_bytes(start)
            file = replace(file, format=found if found in _SEARCHES else file.format)
        search = _SEARCHES.get(file.format, _FileScan._unknown)
        try:
            if file.format not in _PASSED:
                search(self, file)
            if (
                search is not _FileScan._archive
                and file.format is not FileFormat.EMPTY
                and zipfile.is_zipfile(str(file.path))
            ):
                self._archive_behind(file)
        except StepError as error:
            text = "This could not be read, so it was not searched: {}".format(shortened(error.message))
            self.findings.add(Finding("low", "NOT_SEARCHED", text, "", "", file.name))

    def _graph(self, file: SourceFile) -> None:
        graph = graph_outline.read(file.path)
        self._graphs.graph(graph, file.name, starts_of_outputs(self._outputs_of(graph)))

    def _outputs_of(self, graph: Any) -> Iterable[str]:
        """The tensors that a graph is made for: as the caller said, or as its shape tells."""
        names = {node.name for node in graph.node}
        named = [output for output in self._outputs if graph_def.node_name(output) in names]
        if named:
            return named
        try:
            return [tensor.tensor for tensor in find_outputs(graph)]
        except StepError:  # The graph is damaged: everything in it counts.
            return ()

    def _meta_graph(self, file: SourceFile) -> None:
        meta_graph = graph_outline.read_meta_graph(file.path)
        self._graphs.meta_graph(meta_graph, file.name, self._outputs_of(meta_graph.graph_def))

    def _saved_model(self, file: SourceFile) -> None:
        meta_graphs = saved_model.meta_graphs(file.path, outline=True)
        for meta_graph in meta_graphs:
            tags = ", ".join(meta_graph.meta_info_def.tags) or "no tags"
            where = file.name if len(meta_graphs) == 1 else inside(file.name, "graph of {}".format(tags))
            self._graphs.meta_graph(meta_graph, where)
            for node in meta_graph.object_graph_def.nodes:
                metadata = node.user_object.metadata
                if metadata.lstrip()[:1] in ("{", "["):
                    self._keras.text(metadata, inside(where, "object {}".format(node.user_object.identifier)))

    def _hdf5(self, file: SourceFile) -> None:
        read = 0
        for attribute in _CONFIGURATIONS:
            for text in _hdf5.read_texts(file.path, attribute):
                read += self._keras.text(text, inside(file.name, attribute))
        with file.path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            self._hdf5_content(data, file.name)
            if not read and _LAMBDA.search(data):
                text = "The file has a Lambda layer in a configuration that could not be read."
                self.findings.add(Finding("high", "KERAS_LAMBDA", text, "", "Lambda", file.name))

    def _hdf5_content(self, data: Any, where: str) -> None:
        for what, path in external_files(data):
            text = "{} points to another file: loading the model reads {!r}.".format(
                shortened(what[:1].upper() + what[1:]), shortened(path)
            )
            self.findings.add(Finding("high", "HDF5_EXTERNAL_FILE", text, "", "", where))

    def _archive(self, file: SourceFile) -> None:
        for place, content in scan_archive(file.path, file.name, self.findings, _LARGEST_IN_ARCHIVE):
            self._hdf5_content(content, place)

    def _archive_behind(self, file: SourceFile) -> None:
        """A zip archive is read from its end: whatever stands before it, other programs take the file for one."""
        usual = file.format is FileFormat.TFLITE  # Labels are put behind such a model.
        text = "There is a zip archive behind what the file seems to be."
        self.findings.add(Finding("info" if usual else "high", "ARCHIVE_BEHIND_OTHER", text, "", "", file.name))
        self._archive(file)

    def _tfjs(self, file: SourceFile) -> None:
        try:
            content = json.loads(file.path.read_text(encoding="utf-8-sig"))
            manifest = content.get("weightsManifest") or []
            paths = [str(path) for group in manifest for path in group.get("paths", [])]
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            raise StepError("TFJS_MODEL_DAMAGED", "it is no model.json ({}).".format(error)) from error
        for path in paths:
            if _paths.leaves(path):
                text = "The weights {!r} lie outside of the model's folder.".format(shortened(path))
                self.findings.add(Finding("high", "WEIGHTS_OUTSIDE", text, "", "", file.name))
        if file.format is FileFormat.TFJS_LAYERS_MODEL:
            self._keras.config(content, file.name)
            return
        for key in ("modelTopology", "modelInitializer"):
            if isinstance(content.get(key), dict):
                graph = graph_def.new_graph()
                try:
                    json_format.ParseDict(content[key], graph, ignore_unknown_fields=True)
                except (json_format.ParseError, RecursionError, TypeError, ValueError) as error:
                    raise StepError("TFJS_MODEL_DAMAGED", "{} is no graph ({}).".format(key, error)) from error
                self._graphs.graph(graph, inside(file.name, key), {})

    def _json(self, file: SourceFile) -> None:
        if file.path.stat().st_size > _LARGEST_UNKNOWN:
            self._bound_met(file, "It has more than {} MB and was not searched.".format(_LARGEST_UNKNOWN // 2**20))
            return
        if not self._keras.text(file.path.read_text(encoding="utf-8-sig", errors="replace"), file.name):
            self._bound_met(file, "It is nested too deep, or no JSON after all, and was not searched.")

    def _unknown(self, file: SourceFile) -> None:
        with file.path.open("rb") as opened:
            content = opened.read(_LARGEST_UNKNOWN)
        finding = suspicious_start(content, file.name)
        if finding is not None:
            self.findings.add(finding)
        elif file.format is FileFormat.UNKNOWN:
            if len(content) < file.path.stat().st_size:
                content = content[:_HEAD]
                self._bound_met(
                    file, "It has more than {} MB: its start was searched.".format(_LARGEST_UNKNOWN // 2**20)
                )
            for text in self._texts(content, file):
                self._keras.text(text, file.name)
            self._graphs.content(content, file.name, "")

    def _texts(self, content: bytes, file: SourceFile) -> Iterator[str]:
        """The strings of a message, of any schema, that may be configurations: keras_metadata.pb holds such."""
        waiting = [(content, 0)]
        left = _MOST_STRINGS
        while waiting:
            data, depth = waiting.pop()
            if data.lstrip()[:1] == b"{":
                yield data.decode("utf-8", "replace")
                continue
            try:
                for field in protobuf_wire.read_fields(data, 0, len(data)):
                    left -= 1
                    if left <= 0:
                        self._bound_met(
                            file, "It has more than {:,} fields: the first were searched.".format(_MOST_STRINGS)
                        )
                        return
                    if field.wire_type == LENGTH_DELIMITED and depth < _DEEPEST and field.end - field.start > 1:
                        waiting.append((data[field.start : field.end], depth + 1))
            except MalformedMessageError:
                continue

    def _bound_met(self, file: SourceFile, what: str) -> None:
        self.findings.add(Finding("medium", "SEARCH_BOUND_MET", what, "", "", file.name))


def _start_of(file: SourceFile) -> bytes:
    with file.path.open("rb") as opened:
        return opened.read(_HEAD)


_SEARCHES: Dict[FileFormat, Callable[[_FileScan, SourceFile], None]] = {
    FileFormat.GRAPH_DEF: _FileScan._graph,
    FileFormat.GRAPH_DEF_TEXT: _FileScan._graph,
    FileFormat.META_GRAPH: _FileScan._meta_graph,
    FileFormat.META_GRAPH_TEXT: _FileScan._meta_graph,
    FileFormat.SAVED_MODEL: _FileScan._saved_model,
    FileFormat.SAVED_MODEL_TEXT: _FileScan._saved_model,
    FileFormat.HDF5: _FileScan._hdf5,
    FileFormat.KERAS_ARCHIVE: _FileScan._archive,
    FileFormat.NPZ: _FileScan._archive,
    FileFormat.ZIP: _FileScan._archive,
    FileFormat.TFJS_GRAPH_MODEL: _FileScan._tfjs,
    FileFormat.TFJS_LAYERS_MODEL: _FileScan._tfjs,
    FileFormat.JSON: _FileScan._json,
}
