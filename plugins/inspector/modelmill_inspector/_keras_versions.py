"""Which TensorFlow versions load a Keras file: a table of what was measured.

Measured with `tf.keras.models.load_model(file, compile=False)` in TensorFlow 1.5 to 2.21, on the corpus's models and on
two small ones (a Sequential and a functional one) that TensorFlow 1.12 to 2.21 wrote. Compiling is left out: what an
optimizer's state needs is not what the model needs. Classes of a model's own and layers' arguments that only a later
Keras knows are not looked for, but for those below.
"""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Tuple

from modelmill_worker import op_versions
from modelmill_worker.op_versions import Verdict

from modelmill_inspector._keras_file import KerasFile
from modelmill_inspector._tensorflow_versions import fact

_INITIALIZERS = frozenset(
    ("Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "LecunNormal", "LecunUniform")
    + ("Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros")
)


def _by_keras_3(file: KerasFile) -> bool:
    return file.version.split(".")[0] not in ("", "0", "1", "2")


def _by_keras(file: KerasFile, *minors: str) -> bool:
    return any(file.version == minor or file.version.startswith(minor + ".") for minor in minors)


def _is_old_hdf5(file: KerasFile) -> bool:
    return not file.archive and not _by_keras_3(file)


def _has_old_initializers(file: KerasFile) -> bool:
    return any((name, "dtype") in file.arguments for name in _INITIALIZERS)


def _has_no_input_layer(file: KerasFile) -> bool:
    sequential = "Sequential" in file.classes and not file.classes & {"Functional", "Model"}
    return sequential and "InputLayer" not in file.classes


@dataclass(frozen=True)
class _Rule:
    """What loads the files that a rule is about: TensorFlow from `first` to `last`, both included."""

    first: Tuple[int, int]
    last: Optional[Tuple[int, int]]
    reason: str
    applies: Callable[[KerasFile], bool]


#: The first that a version does not keep gives the reason.
_RULES = (
    _Rule(
        (2, 16),
        None,
        "Keras 3 wrote the file, and TensorFlow has it from 2.16 on",
        _by_keras_3,
    ),
    _Rule(
        (2, 13),
        (2, 15),
        "it is a .keras archive of Keras 2, which TensorFlow loads from 2.13 to 2.15",
        lambda file: file.archive and not _by_keras_3(file),
    ),
    _Rule(
        (2, 13),
        (2, 14),
        "the archive's weights are laid out as Keras 2.13 and 2.14 do, which 2.15 does not load",
        lambda file: file.archive and _by_keras(file, "2.12", "2.13", "2.14"),
    ),
    _Rule(
        (2, 15),
        (2, 15),
        "the archive's weights are laid out as Keras 2.15 does, which 2.13 and 2.14 do not load",
        lambda file: file.archive and _by_keras(file, "2.15"),
    ),
    _Rule(
        (1, 11),
        None,
        "TensorFlow before 1.11 comes without h5py, which reads HDF5",
        _is_old_hdf5,
    ),
    _Rule(
        (2, 3),
        None,
        "its architecture has the classes Functional, L1 or L2, which TensorFlow's Keras has from 2.3 on",
        lambda file: _is_old_hdf5(file) and bool(file.classes & {"Functional", "L1", "L2"}),
    ),
    _Rule(
        (2, 6),
        None,
        "a layer has the argument keepdims, which TensorFlow's Keras knows from 2.6 on",
        lambda file: _is_old_hdf5(file) and any(argument == "keepdims" for _, argument in file.arguments),
    ),
    _Rule(
        (1, 5),
        (2, 15),
        "it is HDF5 under a name that ends in .keras, which Keras 3, in TensorFlow from 2.16 on, takes for an archive; "
        "rename it to .h5",
        lambda file: not file.archive and file.name.endswith(".keras"),
    ),
    _Rule(
        (1, 5),
        (2, 15),
        "its initializers have a dtype, as Keras before 2.3 wrote them, which Keras 3, in TensorFlow from 2.16 on, "
        "does not know",
        lambda file: _is_old_hdf5(file) and _has_old_initializers(file),
    ),
    _Rule(
        (1, 5),
        (2, 15),
        "it is a Sequential model without an InputLayer, as Keras before 2.3 wrote it, which Keras 3, in TensorFlow "
        "from 2.16 on, gives a wrong input shape",
        lambda file: _is_old_hdf5(file) and _has_no_input_layer(file),
    ),
)


def of_keras(file: KerasFile) -> Dict[str, Any]:
    """The fact `tensorflow` of a Keras file; which TensorFlow wrote it, such a file does not say."""
    rules = [rule for rule in _RULES if rule.applies(file)]
    verdicts = []
    for version in op_versions.versions():
        numbers = tuple(int(part) for part in version.split("."))
        kept_out = [rule for rule in rules if numbers < rule.first or (rule.last is not None and numbers > rule.last)]
        verdicts.append(Verdict(version, reason=kept_out[0].reason if kept_out else ""))
    return fact(verdicts, keras=file.version)
