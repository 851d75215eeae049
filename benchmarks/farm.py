"""The farm that is measured: a coordinator of its own, over the environments that are installed already."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType

import platformdirs
from modelmill.client import Client, Source, conversion_pb2
from modelmill.errors import ModelmillError

PROJECT = Path(__file__).parents[1]
DEMO = PROJECT / "demo" / "model"


class Farm:
    """`modelmill serve` in a process of its own, with a fresh home and a shared cache of environments.

    more: variables that take the place of these.
    """

    def __init__(self, folder: Path, more: Mapping[str, str] = MappingProxyType({})) -> None:
        self.folder = folder
        usual = {"MODELMILL_CACHE": str(cache()), "MODELMILL_HOME": str(folder / "home")}
        self.variables = {**os.environ, **usual, **more}

    def __enter__(self) -> "Farm":
        command = [Path(sys.executable).with_name("modelmill"), "serve", "--address", "127.0.0.1:0"]
        with (self.folder / "coordinator.log").open("wb") as log:
            self._process = subprocess.Popen(command, env=self.variables, stdout=subprocess.PIPE, stderr=log)
        self.pid = self._process.pid
        self.address = json.loads(self._process.stdout.readline())["address"]
        self.client = Client(self.address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(60)

    def python_of(self, environment: str) -> Path:
        """An environment's interpreter; the environment is installed first if need be."""
        for progress in self.client.install_environment(environment):
            if progress.HasField("failure"):
                raise ModelmillError(progress.failure.reason, progress.failure.message)
            if progress.HasField("environment"):
                return Path(progress.environment.path) / "bin" / "python"
        raise RuntimeError("the installation ended without a word")

    def convert(self, source: Source, *targets: str, salt: str = "", verify: bool = False) -> conversion_pb2.Conversion:
        """One conversion from upload to download; fails loudly."""
        spec = conversion_pb2.ConversionSpec(
            targets=[conversion_pb2.TargetRequest(name=target) for target in targets],
            verification=conversion_pb2.VerificationRequest(skip=not verify),
            salt=salt,
        )
        conversion = self.client.convert(source, spec, self.folder / "out")
        if conversion.state != conversion_pb2.Conversion.SUCCEEDED:
            raise RuntimeError(f"{conversion.failure.reason}: {conversion.failure.message}")
        return conversion


def cache() -> Path:
    """Where environments are: MODELMILL_CACHE, else where `make demo` has installed them."""
    given = os.environ.get("MODELMILL_CACHE") or os.environ.get("MODELMILL_HOME")
    return Path(given or platformdirs.user_data_dir("modelmill", appauthor=False)).expanduser()


def corpus() -> Path | None:
    """The corpus of trained models; None where it is absent."""
    folder = Path(os.environ.get("MODELMILL_CORPUS") or PROJECT.parent / "shared" / "corpus")
    return folder if folder.is_dir() else None


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
