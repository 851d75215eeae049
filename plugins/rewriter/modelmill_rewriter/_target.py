"""What a graph is rewritten for."""

import re
from dataclasses import dataclass
from typing import Optional, Tuple

from modelmill_worker.errors import StepError


@dataclass(frozen=True)
class Target:
    """The target that the graph is made for, and the TensorFlow that converts it.

    name: as clients name it, such as "tflite"; empty for none in particular.
    tensorflow: major and minor version; None where it is not known, which means a current one.
    """

    name: str = ""
    tensorflow: Optional[Tuple[int, int]] = None

    def is_converted_before(self, major: int, minor: int) -> bool:
        """Whether an older TensorFlow than that is known to convert the graph."""
        return self.tensorflow is not None and self.tensorflow < (major, minor)


def parse_version(version: str) -> Optional[Tuple[int, int]]:
    """Major and minor of "1.15.5"; None of "". Raises StepError INVALID_OPTION."""
    if not version:
        return None
    match = re.match(r"(\d+)\.(\d+)(\.|rc|$)", version)
    if match is None:
        raise StepError(
            "INVALID_OPTION",
            "The option tensorflow cannot be {!r}: give a version such as 2.15.1.".format(version),
            {"option": "tensorflow", "value": version},
        )
    return int(match.group(1)), int(match.group(2))
