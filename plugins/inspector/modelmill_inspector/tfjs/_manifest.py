"""The weights of a TensorFlow.js model: its manifest, and the shards beside it checked against that.

A manifest is a list of groups; the weights of a group lie one behind the other in its files, as if these were one
(tfjs-core/src/io/types.ts, WeightsManifestConfig).
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from modelmill_worker.errors import StepError
from modelmill_worker.source_files import SourceFile

#: Bytes of an element; of a string, nobody knows.
_BYTES = {"float32": 4, "int32": 4, "bool": 1, "complex64": 8, "float16": 2, "uint8": 1, "uint16": 2}
#: How many files are listed.
_LISTED = 100
_MOST_ELEMENTS = 2**48


@dataclass(frozen=True)
class Weight:
    """One weight.

    dtype: what it is used as; stored: what it is in the shards, which quantisation makes smaller.
    """

    name: str
    dtype: str
    stored: str
    shape: Tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many there are."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes(self) -> Optional[int]:
        """What it takes in the shards; None where the manifest does not tell."""
        size = _BYTES.get(self.stored)
        return None if size is None else size * self.elements


@dataclass(frozen=True)
class Group:
    """Weights that lie one behind the other in files."""

    paths: Tuple[str, ...]
    weights: Tuple[Weight, ...]


def read_groups(content: Dict[str, Any]) -> List[Group]:
    """The manifest of a model.json. Raises one of Python's own errors where it makes no sense."""
    return [
        Group(
            paths=tuple(str(path) for path in group.get("paths") or ()),
            weights=tuple(_weight(weight) for weight in group.get("weights") or ()),
        )
        for group in content.get("weightsManifest") or []
    ]


def _weight(described: Dict[str, Any]) -> Weight:
    shape = tuple(described["shape"])
    if not all(type(size) is int and 0 <= size <= _MOST_ELEMENTS for size in shape) or len(shape) > 32:
        raise ValueError("{!r} has no possible shape".format(described["name"]))
    dtype = str(described["dtype"])
    weight = Weight(
        name=str(described["name"]),
        dtype=dtype,
        stored=str((described.get("quantization") or {}).get("dtype") or dtype),
        shape=shape,
    )
    if weight.elements > _MOST_ELEMENTS:
        raise ValueError("{!r} has no possible shape".format(weight.name))
    return weight


def check_shards(model: SourceFile, groups: Sequence[Group], file_names: Sequence[str]) -> Dict[str, Any]:
    """The fact `shards`: {"files": [{"path", "bytes"}], "files_count", "bytes", "expected_bytes", "unused_bytes"}.

    files: at most 100. expected_bytes: what the manifest's weights take, without strings, whose size no manifest has.
    unused_bytes: what is in the shards beyond that, 0 where the manifest has strings.

    Raises StepError WEIGHTS_MISSING or WEIGHTS_DAMAGED.
    """
    folder = model.name[: -len(model.path.name)]
    paths = [path for group in groups for path in group.paths]
    there = frozenset(file_names)
    missing = [path for path in paths if folder + path not in there]
    if missing:
        raise StepError(
            "WEIGHTS_MISSING",
            "{} needs {}, which is not beside it.".format(model.name, ", ".join(missing[:5])),
            {"missing": missing[:_LISTED]},
        )
    sizes = {path: (model.path.parent / path).stat().st_size for path in paths}
    unused = 0
    for group in groups:
        unused += _unused_bytes(model, group, sum(sizes[path] for path in group.paths))
    return {
        "files": [{"path": path, "bytes": sizes[path]} for path in paths[:_LISTED]],
        "files_count": len(paths),
        "bytes": sum(sizes[path] for path in paths),
        "expected_bytes": sum(weight.bytes or 0 for group in groups for weight in group.weights),
        "unused_bytes": unused,
    }


def _unused_bytes(model: SourceFile, group: Group, size: int) -> int:
    told = [weight.bytes for weight in group.weights]
    expected = sum(count or 0 for count in told)
    if size < expected:
        raise StepError(
            "WEIGHTS_DAMAGED",
            "{} of {} {} {:,} bytes, and the weights in there take {:,}. Copy the shards again, or export the model "
            "again.".format(
                ", ".join(group.paths[:5]) or "Nothing",
                model.name,
                "has" if len(group.paths) < 2 else "have",
                size,
                expected,
            ),
            {"paths": list(group.paths[:_LISTED]), "bytes": size, "expected_bytes": expected},
        )
    return 0 if None in told else size - expected
