"""An edge that behaves in some versions of TensorFlow and not in others."""

import os
import time
from dataclasses import dataclass
from typing import Any, Dict, Tuple

from modelmill_worker import Step, option

from modelmill_misbehaving.work import copy_files


@dataclass(frozen=True)
class Picky:
    """Options of the edge ``picky``."""

    aborts: Tuple[str, ...] = option((), "Minor versions of TensorFlow in which it aborts.")
    seconds: float = option(0.0, "How long it takes in the others.")


def pick(step: Step) -> Dict[str, Any]:
    """Gives the input back, or aborts."""
    import tensorflow as tf

    version = tf.__version__.rpartition(".")[0]
    if version in step.options.aborts:
        print("Check failed: not in TensorFlow", version)
        os.abort()
    time.sleep(step.options.seconds)
    return dict(copy_files(step), tensorflow=tf.__version__)
