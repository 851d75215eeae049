"""What a TensorFlow.js model.json says of itself and of the files beside it."""

import json
from collections import Counter
from typing import Any, Dict, List

from modelmill_worker.errors import StepError
from modelmill_worker.source_files import SourceFile


def check_shards(model: SourceFile, file_names: List[str]) -> Dict[str, Any]:
    """The facts that model.json holds.

    Raises StepError WEIGHTS_MISSING where it names files that are not there, TFJS_MODEL_DAMAGED where it is no model.
    """
    content = json.loads(model.path.read_text(encoding="utf-8-sig"))
    try:
        manifest = content.get("weightsManifest") or []
        paths = [path for group in manifest for path in group.get("paths", [])]
        operations = Counter(node["op"] for node in content["modelTopology"].get("node", []))
        parameters = _parameters(manifest)
    except (AttributeError, KeyError, TypeError) as error:
        raise StepError(
            "TFJS_MODEL_DAMAGED",
            "{} cannot be read as a TensorFlow.js model: {!r}. Export it again.".format(model.name, error),
            {"file": model.name},
        ) from error
    folder = model.name[: -len(model.path.name)]
    missing = [path for path in paths if folder + path not in file_names]
    if missing:
        raise StepError(
            "WEIGHTS_MISSING",
            "{} needs {}, which is not beside it.".format(model.name, ", ".join(missing[:5])),
            {"missing": missing},
        )
    return {"nodes": sum(operations.values()), "operations": dict(operations), "parameters": parameters}


def _parameters(manifest: List[Dict[str, Any]]) -> int:
    total = 0
    for group in manifest:
        for weight in group.get("weights", []):
            count = 1
            for size in weight["shape"]:
                count *= size
            total += count
    return total
