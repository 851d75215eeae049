"""The graph and the signature of a SavedModel, and whether its files are all there."""

from pathlib import Path
from typing import List, Optional, Tuple

from modelmill_worker import saved_model
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.signature import Signature


def read_graph(path: Path) -> Tuple[GraphDef, Optional[Signature]]:
    """The graph of the first MetaGraphDef, and its serving signature where it has one.

    Raises StepError GRAPH_DEF_DAMAGED.
    """
    model = saved_model.read(path)
    return model.graph, model.signature


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
