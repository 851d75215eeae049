"""Where the state lives and how much of the machine may be used, from the environment's variables."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True)
class Settings:
    """One coordinator's settings.

    home: everything that is kept (MODELMILL_HOME; default: the user's data folder).
    shared_cache: a folder for what can be had again, environments and built plug-ins, that several homes share
        (MODELMILL_CACHE; default: none, and the home has its own).
    plugins: extra plug-in distributions, as project folders or wheels (MODELMILL_PLUGINS, separated like PATH).
    slots: steps that may run at once (MODELMILL_SLOTS; default: the number of cores).
    workers: workers with TensorFlow that may live at once, one for each environment in use; one that rests makes place
        for another (MODELMILL_WORKERS; default: 8).
    worker_idle_seconds: how long an unused worker is kept warm (MODELMILL_WORKER_IDLE_SECONDS).
    coordinator_idle_seconds: how long an embedded coordinator outlives its last client (MODELMILL_IDLE_SECONDS).
    """

    home: Path
    plugins: tuple[str, ...] = ()
    slots: int = 2
    workers: int = 8
    worker_idle_seconds: float = 300.0
    coordinator_idle_seconds: float = 600.0
    shared_cache: Path | None = None

    @property
    def cache(self) -> Path:
        """Where environments and built plug-ins are."""
        return self.shared_cache or self.home

    @property
    def store(self) -> Path:
        """The artifact store's folder."""
        return self.home / "artifacts"

    @property
    def environments(self) -> Path:
        """The folder of installed environments."""
        return self.cache / "environments"

    @property
    def code(self) -> Path:
        """The folder of built workers and plug-ins."""
        return self.cache / "code"

    @property
    def state(self) -> Path:
        """The folder of the databases and of the embedded coordinator's socket."""
        return self.home / "state"

    @property
    def socket(self) -> Path:
        """The embedded coordinator's socket; elsewhere where the kernel's 107 bytes for its path would be passed."""
        usual = self.state / "coordinator.sock"
        if len(os.fsencode(usual)) <= 107:
            return usual
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"modelmill-{os.getuid()}-{name}" / "coordinator.sock"

    @property
    def version(self) -> str:
        """The version of modelmill that runs."""
        return importlib.metadata.version("modelmill")

    @property
    def run(self) -> Path:
        """Scratch of running workers; empty when nothing runs."""
        return self.home / "run"


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment's variables give."""
    home = environ.get("MODELMILL_HOME") or platformdirs.user_data_dir("modelmill", appauthor=False)
    cache = environ.get("MODELMILL_CACHE")
    return Settings(
        home=Path(home).expanduser().resolve(),
        plugins=tuple(item for item in environ.get("MODELMILL_PLUGINS", "").split(os.pathsep) if item),
        slots=int(environ.get("MODELMILL_SLOTS") or os.cpu_count() or 1),
        workers=max(1, int(environ.get("MODELMILL_WORKERS") or 8)),
        worker_idle_seconds=float(environ.get("MODELMILL_WORKER_IDLE_SECONDS", "300")),
        coordinator_idle_seconds=float(environ.get("MODELMILL_IDLE_SECONDS", "600")),
        shared_cache=Path(cache).expanduser().resolve() if cache else None,
    )
