"""What steps gave, by step key: a step whose key is here need not run."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import structlog

from modelmill.artifacts._durable import full_disk_named, sharded, write_all
from modelmill.artifacts.store import ArtifactStore
from modelmill.errors import Fault, ModelmillError
from modelmill.values import StepResult

_log = structlog.get_logger(__name__)


class StepResults:
    """Results in the store's folder `results`, a JSON file each. All methods block for as long as the disk takes.

    Entries outlive the process, whatever ends it, but are not synced: a power cut may take the last ones, and
    then their steps run once more. An entry that it tore is dropped by `lookup`.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._folder = store.folder / "results"
        self._folder.mkdir(parents=True, exist_ok=True)

    def lookup(self, key: str) -> StepResult | None:
        """The result committed under this key; None where there is none or its files are no longer in the store."""
        entry = self._entry(key)
        try:
            result = StepResult.from_json(json.loads(entry.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("step_result_unreadable", key=key, error=str(error))
            entry.unlink(missing_ok=True)
            return None
        missing = self._missing(result)
        if missing:
            _log.warning("step_result_without_files", key=key, missing=missing)
            entry.unlink(missing_ok=True)
            return None
        return result

    def commit(self, key: str, result: StepResult) -> None:
        """Keeps a result, for good; the last of several under one key counts.

        Raises FILES_MISSING where a file of its output is not in the store, DISK_FULL.
        """
        missing = self._missing(result)
        if missing:
            raise ModelmillError(
                "FILES_MISSING",
                "A step's result cannot be kept before all its files are in the store.",
                {"digests": missing},
                Fault.INFRASTRUCTURE,
            )
        data = json.dumps(result.to_json(), sort_keys=True).encode()
        with full_disk_named(self._folder, len(data)):
            self._write(self._entry(key), data)

    def _entry(self, key: str) -> Path:
        return sharded(self._folder, key, ".json")

    def _missing(self, result: StepResult) -> list[str]:
        return self._store.missing(file.digest for file in result.output.files)

    def _write(self, entry: Path, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._store.folder / "incoming")
        beside = Path(name)
        try:
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)
            entry.parent.mkdir(exist_ok=True)
            beside.rename(entry)
        except BaseException:
            with suppress(FileNotFoundError):
                beside.unlink()
            raise
