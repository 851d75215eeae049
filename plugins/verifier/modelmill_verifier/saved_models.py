"""SavedModels as users have them: which part of one is meant, read as data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from modelmill_worker import Step, option, saved_model
from modelmill_worker.saved_model import SavedModel


@dataclass(frozen=True)
class Part:
    """Options of every edge that reads a SavedModel. A conversion's own go here too, so that all mean the same."""

    signature_key: str = option("", "A SavedModel's signature; serving_default, or the only one, where empty.")
    tags: Tuple[str, ...] = option((), "Tags of a SavedModel's graph; serve, or those of the first, where empty.")


def read(step: Step) -> Tuple[Path, SavedModel]:
    """The SavedModel of a step whose options are a `Part`, and its file, with the errors of `saved_model.read`."""
    path = saved_model.find(step.inputs["model"])
    return path, saved_model.read(path, step.options.signature_key, step.options.tags)
