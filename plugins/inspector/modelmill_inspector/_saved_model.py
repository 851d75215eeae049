"""What there is to say of a SavedModel beside its graph, and whether its files are all there."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List

from modelmill_worker.errors import StepError
from modelmill_worker.saved_model import SavedModel

#: How many signatures are listed.
_LISTED = 50


def describe_signatures(model: SavedModel) -> Dict[str, Any]:
    """`tags`, `signature_key` (the one that is described: "" where none is chosen) and `signatures`, all of them."""
    return {
        "tags": list(model.tags),
        "signature_key": model.signature_key,
        "signatures_count": len(model.signature_keys),
        "signatures": [_signature(model, key) for key in model.signature_keys[:_LISTED]],
    }


def _signature(model: SavedModel, key: str) -> Dict[str, Any]:
    ends = model.signature_of(key)
    return {
        "key": key,
        "inputs": [asdict(tensor) for tensor in ends.inputs],
        "outputs": [asdict(tensor) for tensor in ends.outputs],
    }


def check_variables(folder: Path, file_names: List[str]) -> None:
    """Raise StepError CHECKPOINT_INCOMPLETE where a SavedModel has one half of its variables only."""
    variables = [name for name in file_names if name.startswith("variables/variables.")]
    index = [name for name in variables if name.endswith(".index")]
    data = [name for name in variables if ".data-" in name]
    if bool(index) != bool(data):
        missing = "variables/variables.index" if data else "variables/variables.data-00000-of-00001"
        raise StepError(
            "CHECKPOINT_INCOMPLETE",
            "The SavedModel {} lacks {}. Copy the whole folder.".format(folder.name, missing),
            {"missing": [missing]},
        )
