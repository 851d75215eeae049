"""Where the code that runs in workers comes from: the contract, the worker and the plug-ins, ours and others'.

None of it is in an environment's lock: it is pure Python and the same for every environment.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelmill.errors import Fault, ModelmillError
from modelmill.settings import Settings

_PACKAGE = Path(__file__).resolve().parents[1]
#: What building and testing leave beside a project's code.
_LEFTOVERS = frozenset({"build", "dist", "node_modules"})


@dataclass(frozen=True)
class CodeSource:
    """A project folder or a wheel.

    plugin: nothing else depends on it; if it cannot be built, the others still work.
    only: of a project folder, the names of the entries that go into its wheel; none given means all.
    """

    path: Path
    plugin: bool
    only: tuple[str, ...] = ()

    @property
    def is_wheel(self) -> bool:
        """It is built already."""
        return self.path.suffix == ".whl"

    @property
    def distribution(self) -> str:
        """What it calls itself, as far as that can be read; else the name of the file or folder."""
        if self.is_wheel:
            return self.path.name.split("-")[0].replace("_", "-")
        try:
            project = tomllib.loads((self.path / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
        except (OSError, ValueError):
            project = {}
        return str(project.get("name", self.path.name))

    def digest(self) -> str:
        """SHA-256 over its files: each one's path, size and bytes.

        Raises ModelmillError PLUGIN_NOT_FOUND where there is neither a project nor a wheel.
        """
        digest = hashlib.sha256()
        for file in self._files():
            data = file.read_bytes()
            digest.update(f"{file.relative_to(self.path.parent).as_posix()}\0{len(data)}\0".encode())
            digest.update(data)
        return digest.hexdigest()

    def _files(self) -> list[Path]:
        if self.is_wheel and self.path.is_file():
            return [self.path]
        if not (self.path / "pyproject.toml").is_file():
            raise ModelmillError(
                "PLUGIN_NOT_FOUND",
                f"{self.path} is neither a wheel nor a folder with a pyproject.toml: mend MODELMILL_PLUGINS.",
                {"path": str(self.path)},
            )
        return sorted(self._project_files())

    def _project_files(self) -> Iterator[Path]:
        for parent, folders, names in os.walk(self.path):
            top = Path(parent) == self.path
            folders[:] = [name for name in folders if self._counts(Path(parent), name, top)]
            yield from (
                Path(parent) / name
                for name in names
                if not name.endswith(".pyc") and (not top or self._chosen(name)) and (Path(parent) / name).is_file()
            )

    def _counts(self, parent: Path, name: str, top: bool) -> bool:
        if name.startswith(".") or name.endswith(".egg-info") or name == "__pycache__":
            return False
        if not top:
            return True
        return self._chosen(name) and name not in _LEFTOVERS and not (parent / name / "pyvenv.cfg").exists()

    def _chosen(self, name: str) -> bool:
        return not self.only or name in self.only


def code_sources(settings: Settings) -> list[CodeSource]:
    """All sources: ours first (those packed into this installation, else the checkout's), then the user's."""
    own = _packed() or _checked_out()
    if not own:
        raise ModelmillError(
            "CODE_NOT_FOUND",
            f"The code for workers is not in {_PACKAGE}: install modelmill anew.",
            {"folder": str(_PACKAGE)},
            Fault.INFRASTRUCTURE,
        )
    return [*own, *(CodeSource(Path(item).expanduser().resolve(), plugin=True) for item in settings.plugins)]


def _packed() -> list[CodeSource]:
    wheels = sorted((_PACKAGE / "_bundle" / "wheels").glob("*.whl"))
    base = ("modelmill_protos-", "modelmill_worker-")
    return [CodeSource(wheel, plugin=not wheel.name.startswith(base)) for wheel in wheels]


def _checked_out() -> list[CodeSource]:
    for root in _PACKAGE.parents:
        if (root / "workers" / "modelmill_worker").is_dir() and (root / "protos").is_dir():
            plugins = sorted(manifest.parent for manifest in root.glob("plugins/*/pyproject.toml"))
            projects = [(root / "protos", False), (root / "workers", False), *((plugin, True) for plugin in plugins)]
            return [CodeSource(path, plugin, _packed_entries(path)) for path, plugin in projects]
    return []


def _packed_entries(project: Path) -> tuple[str, ...]:
    """What goes into the wheels of our own projects: environments, for one, do not."""
    return ("pyproject.toml", "README.md", *sorted(package.name for package in project.glob("modelmill_*")))
