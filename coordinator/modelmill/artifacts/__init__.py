"""The content-addressed store: bytes under their SHA-256, uploads in progress, results of steps.

A folder with three parts: `blobs/` (complete files, read-only), `uploads/` (files that are being sent)
and `results/` (what a step gave, by the step's key). Whatever is in `blobs` or `results` is complete and
on the disk: it was written beside, synced, and renamed.
"""

from modelmill.artifacts.results import StepResults
from modelmill.artifacts.sink import Sink
from modelmill.artifacts.store import ArtifactStore
from modelmill.artifacts.uploads import Upload, Uploads
from modelmill.artifacts.writing import BlobWriter

__all__ = ["ArtifactStore", "BlobWriter", "Sink", "StepResults", "Upload", "Uploads"]
