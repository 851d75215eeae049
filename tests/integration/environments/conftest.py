"""Small environments that real uv installs from wheels made here, without any index."""

import base64
import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest
from modelmill.fleet.definitions import load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


class Forge:
    """Makes wheels and definitions in a folder, and the environments that are defined so."""

    def __init__(self, folder: Path) -> None:
        self.definitions = folder / "definitions"
        self.wheels = folder / "wheels"
        self.home = folder / "home"
        self.environ = {
            **os.environ,
            "UV_FIND_LINKS": str(self.wheels),
            "UV_OFFLINE": "1",
            "UV_CACHE_DIR": str(folder / "uv-cache"),
        }
        self.environ.pop("UV_LINK_MODE", None)
        self.wheels.mkdir()

    def wheel(self, name: str, data: bytes = b"", version: str = "1.0") -> str:
        """A wheel of one module with a file of data beside it; its line in a lock."""
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files = {
            f"{name}/__init__.py": f'__version__ = "{version}"\n'.encode(),
            f"{name}/data": data,
            f"{name}-{version}.dist-info/METADATA": about.encode(),
            f"{name}-{version}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},sha256={_record_hash(content)},{len(content)}\n" for path, content in files.items())
        files[f"{name}-{version}.dist-info/RECORD"] = f"{record}{name}-{version}.dist-info/RECORD,,\n".encode()
        path = self.wheels / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for inside, content in files.items():
                archive.writestr(inside, content)
        return self.pin(name, version, hashlib.sha256(path.read_bytes()).hexdigest())

    def pin(self, name: str, version: str, digest: str) -> str:
        """A package's line in a lock."""
        return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"

    def define(self, name: str, lock: str, imports: str = '"tiny"', provides: str = "") -> Path:
        """A definition; its folder."""
        folder = self.definitions / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "environment.toml").write_text(
            f'summary = "{name}"\npython = "{RUNNING}"\nimports = [{imports}]\n[provides]\n{provides}\n'
        )
        (folder / "requirements.txt").write_text(lock)
        return folder

    def environments(self) -> Environments:
        """The environments of this moment's definitions."""
        return Environments(Settings(home=self.home), load_definitions(self.definitions), self.environ)


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@pytest.fixture
def forge(tmp_path) -> Forge:
    return Forge(tmp_path)
