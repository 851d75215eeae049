"""SavedModels as users have them: which file it is, and what goes in and comes out, read as data."""

from pathlib import Path
from typing import Tuple

from modelmill_worker import StepError, Tree, saved_model, source_files
from modelmill_worker.file_formats import FileFormat
from modelmill_worker.saved_model import SavedModel
from modelmill_worker.signature import Signature


def find(tree: Tree) -> Path:
    """The ``saved_model.pb`` of a tree, at whatever depth.

    Raises StepError SAVED_MODEL_MISSING, or SAVED_MODEL_IN_TEXT for a ``saved_model.pbtxt``.
    """
    files = source_files.survey(tree)
    found = source_files.of_formats(files, FileFormat.SAVED_MODEL)
    if len(found) == 1:
        return found[0].path
    if source_files.of_formats(files, FileFormat.SAVED_MODEL_TEXT):
        raise StepError(
            "SAVED_MODEL_IN_TEXT",
            "A SavedModel in text form (saved_model.pbtxt) cannot be run. Save it in binary form.",
            {"files": list(tree.files)},
        )
    raise StepError(
        "SAVED_MODEL_MISSING",
        "There is {} saved_model.pb among the files. Give the folder of one SavedModel.".format(
            "no" if not found else "more than one"
        ),
        {"files": list(tree.files)},
    )


def read(path: Path) -> Tuple[SavedModel, Signature]:
    """A SavedModel and the signature to run it with. Raises StepError SIGNATURE_MISSING where none can be chosen."""
    model = saved_model.read(path)
    if model.signature is None:
        raise StepError(
            "SIGNATURE_MISSING",
            "The SavedModel has {}. Save it with a signature named serving_default.".format(
                "several signatures, none of them the default: " + ", ".join(model.signature_keys)
                if model.signature_keys
                else "no signature, which says what goes in and what comes out"
            ),
            {"signatures": list(model.signature_keys)},
        )
    return model, model.signature


def signature_of(tree: Tree) -> Signature:
    """The signature of the SavedModel in a tree, with the errors of `find` and `read`."""
    return read(find(tree))[1]
