"""Whether the files of a SavedModel are all there."""

from pathlib import Path
from typing import List

from modelmill_worker.errors import StepError


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
