"""The code that runs in workers, unpacked once into a folder that every worker has on its PYTHONPATH.

The folder is named by the digest of its sources, so that an edit makes a new one beside the old, which workers
that are running still use. Plug-ins are found in it through the entry points in their `.dist-info` folders.
"""

from __future__ import annotations

import hashlib
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from modelmill.errors import Failure, Fault, ModelmillError
from modelmill.fleet.built_folder import BuiltFolder, Hold
from modelmill.fleet.code_sources import CodeSource, code_sources
from modelmill.fleet.tool_process import ToolProcesses
from modelmill.fleet.uv_command import uv_arguments, uv_variables
from modelmill.settings import Settings
from modelmill.values import BrokenPlugin, digest_of

log = structlog.get_logger(__name__)

Progress = Callable[[str], None]

_WITNESS = "modelmill_worker/__init__.py"
#: Layers and wheels that nobody has used for this long are removed.
_KEPT_SECONDS = 7 * 24 * 3600.0
#: How often a source may change while it is built.
_ATTEMPTS = 5


@dataclass(frozen=True)
class _Wheel:
    """A built wheel, the distribution that is in it, and the digest of what it was built from."""

    path: Path
    distribution: str
    version: str
    digest: str


class CodeLayer:
    """The workers' code on this machine. Methods block, and may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.code
        self._tools = ToolProcesses()
        self._guard = threading.Lock()
        self._broken: tuple[BrokenPlugin, ...] = ()
        self._failed: dict[str, Failure] = {}
        self._holds: dict[Path, Hold] = {}

    @property
    def broken(self) -> tuple[BrokenPlugin, ...]:
        """The plug-ins that the last `ensure` had to leave out, and why."""
        return self._broken

    def ensure(self, progress: Progress) -> Path:
        """The folder with today's code, built first if a source has changed.

        A plug-in that cannot be built is left out and told by `broken`; it is tried again when it changes or when
        the coordinator starts anew. Raises ModelmillError CODE_BUILD_FAILED where the worker itself cannot be
        built, and DISK_FULL.
        """
        with self._guard:
            wheels, self._broken = self._wheels(progress)
            layer = self._layer(wheels)
            if layer.path not in self._holds:
                self._holds[layer.path] = layer.ensure(lambda _: _unpack(wheels, layer.path), self._tools.check_open)
            return layer.path

    def close(self) -> None:
        """Let go of the folders in use; workers that still run may lose them."""
        self._tools.close()
        with self._guard:
            for hold in self._holds.values():
                hold.release()
            self._holds.clear()

    def _layer(self, wheels: list[_Wheel]) -> BuiltFolder:
        digest = digest_of([wheel.digest for wheel in wheels])
        return BuiltFolder(self._folder / digest[:32], _WITNESS)

    # Wheels

    def _wheels(self, progress: Progress) -> tuple[list[_Wheel], tuple[BrokenPlugin, ...]]:
        wheels: dict[str, _Wheel] = {}
        broken = []
        for source in code_sources(self._settings):
            try:
                wheel = self._wheel(source, progress)
                if wheel.distribution in wheels:
                    raise _taken(source, wheel)
                wheels[wheel.distribution] = wheel
            except ModelmillError as error:
                if not source.plugin or error.reason in {"DISK_FULL", "COORDINATOR_STOPPED"}:
                    raise
                broken.append(_broken(source, error.failure))
        return list(wheels.values()), tuple(broken)

    def _wheel(self, source: CodeSource, progress: Progress) -> _Wheel:
        for _ in range(_ATTEMPTS):
            with suppress(FileNotFoundError):  # an editor replaces files while they are read
                digest = source.digest()
                if source.is_wheel:
                    return _read_wheel(source, source.path, digest)
                if digest in self._failed:
                    raise ModelmillError.of(self._failed[digest])
                path, whole = self._build_wheel(source, digest, progress)
                if whole and source.digest() == digest:
                    return _read_wheel(source, path, digest)
                self._wheel_folder(digest).remove()
        raise _cannot_build(source, "its files keep changing while it is built")

    def _wheel_folder(self, digest: str) -> BuiltFolder:
        return BuiltFolder(self._folder / "wheels" / digest[:32], ".", durable=False)

    def _build_wheel(self, source: CodeSource, digest: str, progress: Progress) -> tuple[Path, bool]:
        """A source's wheel, and whether it is as it was when it was built."""
        folder = self._wheel_folder(digest)

        def build(lock: int) -> Mapping[str, Any]:
            progress(f"Building {source.distribution}")
            arguments = uv_arguments("build", "--wheel", "--no-create-gitignore", "--out-dir", folder.path, source.path)
            result = self._tools.run(arguments, uv_variables(), held=lock)
            result.check_space(source.distribution)
            built = list(folder.path.glob("*.whl"))
            if result.exit_code or len(built) != 1:
                error = _cannot_build(source, "uv could not build its wheel; the log says why", result.tail)
                self._failed[digest] = error.failure
                raise error
            self._remove_unused()
            return {"wheel": built[0].name, "digest": _digest(built[0])}

        hold = folder.ensure(build, self._tools.check_open)
        try:
            record = folder.record()
            assert record is not None
            wheel = folder.path / str(record["wheel"])
            return wheel, wheel.is_file() and _digest(wheel) == record.get("digest")
        finally:
            hold.release()

    def _remove_unused(self) -> None:
        """Delete what nobody has used for a while; what another coordinator holds stays."""
        oldest = time.time() - _KEPT_SECONDS
        for path in [*self._folder.glob("*"), *self._folder.glob("wheels/*")]:
            if path.is_dir() and path.name != "wheels":
                folder = BuiltFolder(path, ".")
                if folder.last_used() < oldest and folder.remove():
                    log.info("unused code removed", path=str(path))


def _read_wheel(source: CodeSource, path: Path, digest: str) -> _Wheel:
    """The wheel at a path, known to be one that any Python can import."""
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise _cannot_build(source, str(error)) from error
    if not any(tag.abi == "none" and tag.platform == "any" and tag.interpreter == "py3" for tag in tags):
        raise _cannot_build(source, f"{path.name} is not pure Python 3 (its tags are not py3-none-any)")
    if not zipfile.is_zipfile(path):
        raise _cannot_build(source, f"{path.name} is not a whole wheel")
    return _Wheel(path, str(name), str(version), digest)


def _digest(wheel: Path) -> str:
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def _unpack(wheels: list[_Wheel], folder: Path) -> Mapping[str, Any]:
    """Unpack wheels of pure Python side by side: by PEP 427 that installs them, but for scripts, which none needs."""
    folder.mkdir()
    for wheel in wheels:
        with zipfile.ZipFile(wheel.path) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if ".data/" not in name])
    log.info("code unpacked", path=str(folder), distributions=[wheel.distribution for wheel in wheels])
    return {"distributions": {wheel.distribution: wheel.version for wheel in wheels}}


def _broken(source: CodeSource, failure: Failure) -> BrokenPlugin:
    return BrokenPlugin(source.distribution, "", source.distribution, failure)


def _cannot_build(source: CodeSource, what: str, tail: str = "") -> ModelmillError:
    details = {"distribution": source.distribution, "path": str(source.path)}
    if not source.plugin:
        message = f"{source.distribution}, which every worker needs, cannot be used: {what}."
        return ModelmillError("CODE_BUILD_FAILED", message, details, Fault.INFRASTRUCTURE, tail)
    message = f"The plug-in {source.distribution} in {source.path} was left out: {what}."
    return ModelmillError("PLUGIN_BUILD_FAILED", message, details, log_tail=tail)


def _taken(source: CodeSource, wheel: _Wheel) -> ModelmillError:
    return ModelmillError(
        "PLUGIN_NAME_TAKEN",
        f"{source.path} was left out: there is a distribution {wheel.distribution} already. Give it another name.",
        {"distribution": wheel.distribution, "path": str(source.path)},
    )
