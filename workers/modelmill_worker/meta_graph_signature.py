"""The outputs that a MetaGraphDef's signatures name: who exported it has said there what it is for."""

from pathlib import Path
from typing import Any, List, Tuple

from modelmill_worker import file_formats, graph_def, graph_outline
from modelmill_worker.file_formats import FileFormat

_DEFAULT = "serving_default"


def read_outputs(path: Path) -> Tuple[str, ...]:
    """The tensor names of the outputs of `serving_default`, else of the only signature, in the order of their keys.

    Empty where the file is another kind of graph, or there are no signatures or too many to choose from.
    Raises StepError GRAPH_DEF_DAMAGED.
    """
    form = file_formats.recognise(path)
    if form is FileFormat.META_GRAPH:
        meta_graph = graph_outline.read_meta_graph(path)
    elif form is FileFormat.META_GRAPH_TEXT:
        meta_graph = graph_def.parse_into(graph_def.meta_graph_class()(), path.read_bytes(), path.name)
    else:
        return ()
    signatures = meta_graph.signature_def
    keys = [key for key in signatures if signatures[key].outputs]
    if _DEFAULT in keys:
        return _tensor_names(signatures[_DEFAULT])
    return _tensor_names(signatures[keys[0]]) if len(keys) == 1 else ()


def _tensor_names(signature: Any) -> Tuple[str, ...]:
    found: List[str] = []
    for key in sorted(signature.outputs):
        name = signature.outputs[key].name
        if name and name not in found:
            found.append(name)
    return tuple(found)
