"""What a user asks of an input: "NAME", "NAME=1,224,224,3" or "NAME=1,224,224,3:float32"."""

import re
from dataclasses import dataclass
from typing import Optional, Tuple

from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError

_REQUEST = re.compile(r"(?P<name>[^=]+?)(=(?P<shape>[-0-9?,\s]*))?((?<=.)(?P<colon>:)(?P<dtype>[a-z][a-z0-9]*))?")


@dataclass(frozen=True)
class InputRequest:
    """A placeholder to feed, or any tensor to cut the graph at.

    tensor: in full, as "images:0".
    shape: -1 for what is open; None where it is to be found. dtype: NumPy's name; empty where it is to be found.
    """

    tensor: str
    shape: Optional[Tuple[int, ...]] = None
    dtype: str = ""

    @property
    def node(self) -> str:
        """The node of the tensor."""
        return graph_def.node_name(self.tensor)


def parse_request(text: str) -> InputRequest:
    """What one entry of the option says.

    Raises StepError INPUT_MALFORMED, DTYPE_UNKNOWN or TENSOR_NAME_MALFORMED.
    """
    match = _REQUEST.fullmatch(text.strip())
    if match is None:
        raise _malformed(text, "it is not of that form")
    dtype = match.group("dtype") or ""
    if dtype:
        tensors.data_type_named(dtype)
    return InputRequest(graph_def.tensor_name(match.group("name")), _shape(text, match.group("shape")), dtype)


def _shape(text: str, listed: Optional[str]) -> Optional[Tuple[int, ...]]:
    if listed is None:
        return None
    sizes = [part.strip() for part in listed.split(",")] if listed.strip() else []
    try:
        shape = tuple(-1 if size == "?" else int(size) for size in sizes)
    except ValueError as error:
        raise _malformed(text, "its shape is not of whole numbers") from error
    if any(size < -1 or size == 0 for size in shape):
        raise _malformed(text, "sizes are above 0, or -1 for what is open")
    return shape


def _malformed(text: str, why: str) -> StepError:
    return StepError(
        "INPUT_MALFORMED",
        '"{}" does not say an input: {}. Write it as in "images", "images=1,224,224,3" or '
        '"images=1,224,224,3:float32".'.format(text, why),
        {"input": text},
    )
