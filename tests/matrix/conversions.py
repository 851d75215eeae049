"""What is converted in each environment: forms of a model, and the ways to ask for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from modelmill.client import Source, collect
from packaging.specifiers import SpecifierSet

#: Forms that `programs/write_models.py` writes, and the versions of TensorFlow that can write them.
FORMS = {
    "checkpoint": SpecifierSet(""),
    "saved_model_v1": SpecifierSet(""),
    "saved_model": SpecifierSet(">=2.0"),
    "keras_saved_model": SpecifierSet(">=1.15"),
    "keras_h5": SpecifierSet(">=1.11"),
    "keras_v3": SpecifierSet(">=2.13"),
}


@dataclass(frozen=True, eq=False)
class Asked:
    """One conversion that is asked for in every environment.

    label: the source as the page names it. files: the model's, in the form's folder.
    options: of the target. refused: the versions that cannot do it, with the reason that the farm must give.
    """

    label: str
    form: str
    files: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    refused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def source(self, written: Path) -> Source:
        """The files of the model that was written."""
        return collect(*(written / self.form / name for name in self.files))

    def refusal(self, version: str) -> str:
        """The reason with which this version must refuse; empty where it must convert."""
        return next((reason for versions, reason in self.refused.items() if version in SpecifierSet(versions)), "")


_NO_SUCH_CONVERTER = "CONVERTER_NOT_AVAILABLE"

TFLITE = (
    Asked("checkpoint + graph.pb", "checkpoint", ("model.ckpt", "graph.pb")),
    Asked("checkpoint + graph.pbtxt", "checkpoint", ("model.ckpt", "graph.pbtxt")),
    Asked("SavedModel of TensorFlow 1", "saved_model_v1", ("model",)),
    Asked("SavedModel of TensorFlow 2", "saved_model", ("model",)),
    # TensorFlow 1.15 writes objects and functions as TensorFlow 2 does, and its own converter takes graphs only.
    Asked("SavedModel of Keras", "keras_saved_model", ("model",), refused={"==1.15.*": "SOURCE_NOT_AVAILABLE"}),
    Asked("Keras .h5", "keras_h5", ("model.h5",)),
    Asked("Keras .keras", "keras_v3", ("model.keras",)),
    Asked("TOCO", "checkpoint", ("model.ckpt", "graph.pb"), {"converter": "toco"}, {">=2.18": _NO_SUCH_CONVERTER}),
    Asked(
        "MLIR",
        "checkpoint",
        ("model.ckpt", "graph.pb"),
        {"converter": "mlir"},
        {"<1.15": _NO_SUCH_CONVERTER, "==2.0.*": _NO_SUCH_CONVERTER},
    ),
)

TFJS = (Asked("checkpoint + graph.pb", "checkpoint", ("model.ckpt", "graph.pb")),)
