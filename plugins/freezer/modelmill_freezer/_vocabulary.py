"""A vocabulary file's keys and values, as a table's initialiser reads them.

Format: tensorflow/core/kernels/lookup_util.cc. A line is a row, its columns are parted by the delimiter; column -1 is
the line's number, column -2 the whole line.
"""

from typing import Any, List, Tuple

import numpy as np
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import NodeDef

_LINE_NUMBER = -1
_WHOLE_LINE = -2


def read_vocabulary(content: bytes, node: NodeDef, key_type: str, value_type: str) -> Tuple[np.ndarray, np.ndarray]:
    """The keys and values of a file for an ``InitializeTableFromTextFile`` node; types as NumPy names them.

    Raises StepError VOCABULARY_UNREADABLE.
    """
    lines = [line.rstrip(b"\r") for line in content.split(b"\n")]
    if lines[-1] == b"":
        del lines[-1]
    size = node.attr["vocab_size"].i if "vocab_size" in node.attr else -1
    if size > len(lines):
        raise _unreadable(node, "it has {} lines, and the table takes {}".format(len(lines), size))
    if size >= 0:
        lines = lines[:size]
    delimiter = node.attr["delimiter"].s if "delimiter" in node.attr else b"\t"
    offset = node.attr["offset"].i if "offset" in node.attr else 0
    columns = [
        _column(node, lines, node.attr[which].i, delimiter, offset, dtype)
        for which, dtype in (("key_index", key_type), ("value_index", value_type))
    ]
    return columns[0], columns[1]


def _column(node: NodeDef, lines: List[bytes], index: int, delimiter: bytes, offset: int, dtype: str) -> np.ndarray:
    if index == _LINE_NUMBER:
        return np.arange(offset, offset + len(lines)).astype(dtype)
    texts: List[Any] = lines
    if index != _WHOLE_LINE:
        rows = [line.split(delimiter or b"\t") for line in lines]
        short = [number for number, row in enumerate(rows) if index >= len(row)]
        if short:
            raise _unreadable(node, "its line {} has no column {}".format(short[0] + 1, index))
        texts = [row[index] for row in rows]
    if dtype == "string":
        made = np.empty(len(texts), dtype=object)
        made[:] = texts
        return made
    try:
        return np.array([float(text) if dtype.startswith("float") else int(text) for text in texts], dtype=dtype)
    except ValueError as error:
        raise _unreadable(node, "its column {} is not of {}: {}".format(index, dtype, error)) from error


def _unreadable(node: NodeDef, why: str) -> StepError:
    return StepError(
        "VOCABULARY_UNREADABLE",
        "The vocabulary file of the table that {} fills cannot be used: {}.".format(node.name, why),
        {"node": node.name, "why": why},
    )
