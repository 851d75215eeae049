"""What a user may say to an inspection: which part of a model is meant, and what is wanted of it."""

from dataclasses import dataclass
from typing import Dict, Tuple

from modelmill_worker.options import option


@dataclass(frozen=True)
class InspectOptions:
    """Everything has a default: an inspection without options describes the part that a conversion would take."""

    outputs: Tuple[str, ...] = option((), "Nodes or tensors to take as outputs; found where none are named.")
    input_shapes: Dict[str, Tuple[int, ...]] = option(  # noqa: RUF009 - option() makes a default_factory of the dict
        {}, "Shapes for inputs, by name: costs and activation memory are those of these shapes."
    )
    signature_key: str = option("", "The signature of a SavedModel; the default one, or the only one, if empty.")
    tags: Tuple[str, ...] = option((), "The tags of a SavedModel's graph; those for serving if there are none.")
    picture: bool = option(False, "Also give the nodes and edges to draw the model from.")
