"""The process that passes inputs to one parser, under limits; `runs.py` starts it."""

import faulthandler
import json
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings
from modelmill_worker.errors import StepError

from fuzzing.mutations import inputs
from fuzzing.parsers import BESIDE, BREAKING, PARSERS, STRUCTURED, seeds_of
from fuzzing.runs import ADDRESS_SPACE, HARD_END, SECONDS_AN_INPUT

#: Inputs between two looks at the clock.
_ROUND = 200


class TookTooLong(BaseException):
    """One input took longer than it may; no parser catches it."""


def main() -> None:
    """Do what the task says, and leave `told.json`; an exception ends the process where the parser broke."""
    task = json.loads(sys.argv[1])
    folder = Path(task["folder"])
    guarded = _Guarded(task["parser"], folder)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    signal.signal(signal.SIGPROF, _out_of_time)
    if task["given"]:
        guarded(Path(task["given"]).read_bytes())
    elif task["examples"]:
        _try(guarded, task["examples"], task["seed"])
    else:
        ends, round_seed = time.monotonic() + task["seconds"], task["seed"]
        while time.monotonic() < ends:
            _try(guarded, _ROUND, round_seed)
            round_seed += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (folder / "told.json").write_text(json.dumps({"examples": guarded.count, "peak": peak}))


def _try(guarded: "_Guarded", examples: int, chance: int) -> None:
    kinds = guarded.parser.seeds
    plain = [content for kind in kinds for content in seeds_of(kind)]
    structured = any(kind in STRUCTURED for kind in kinds)
    profile = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )

    @seed(chance)
    @profile
    @given(inputs(plain, structured))
    def holds(data: bytes) -> None:
        guarded(data)

    for content in plain:
        guarded(content)
    holds()


class _Guarded:
    """A parser that is given inputs as files, each under its limits."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.count = 0
        self.parser = {**PARSERS, **BREAKING}[name]
        self._latest = folder / "latest"
        work = folder / "work"
        work.mkdir()
        for beside, kind in BESIDE.get(name, {}).items():
            (work / beside).write_bytes(seeds_of(kind)[0])
        self._file = work / self.parser.file_name

    def __call__(self, data: bytes) -> None:
        self._latest.write_bytes(data)
        self._file.write_bytes(data)
        self.count += 1
        faulthandler.dump_traceback_later(HARD_END, exit=True)
        signal.setitimer(signal.ITIMER_PROF, SECONDS_AN_INPUT)
        try:
            self.parser.read(self._file, data)
        except StepError as error:
            json.dumps(error.details)
        except self.parser.refusals:
            pass
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()


def _out_of_time(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise TookTooLong


if __name__ == "__main__":
    main()
