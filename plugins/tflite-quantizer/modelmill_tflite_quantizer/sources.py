"""The models that are converted, each with its own signature, before anything is asked of a converter.

Which of them a version of TensorFlow converts, and how, is told by `generations`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Tuple, Union

from modelmill_worker.signature import Signature


@dataclass(frozen=True)
class FrozenGraph:
    """A binary GraphDef without variables."""

    path: Path
    signature: Signature


@dataclass(frozen=True)
class SavedModel:
    """One signature of a SavedModel.

    path: its ``saved_model.pb`` or ``saved_model.pbtxt``.
    functions: whether it holds functions and objects, as TensorFlow 2 saves them, rather than one graph for a session.
    """

    path: Path
    tags: Tuple[str, ...]
    key: str
    functions: bool
    signature: Signature

    @property
    def folder(self) -> Path:
        """What TensorFlow's loaders take."""
        return self.path.parent


@dataclass(frozen=True)
class KerasModel:
    """A Keras model, loaded.

    model: a ``tf.keras.Model``; under TensorFlow 1, in Keras' own session.
    """

    model: Any
    signature: Signature


Source = Union[FrozenGraph, SavedModel, KerasModel]
