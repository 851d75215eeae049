"""What a run of the matrix found out about each environment: a JSON file for each, from which the page is made."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "matrix"
_NOTES = FOLDER / "seeds" / "notes.json"


@dataclass
class Outcome:
    """How one conversion ended.

    reason: the farm's reason where it failed, with its sentence as `message`; empty where it did not.
    error: largest difference from what the version's own session gave, relative to the output's range.
    engine: the converter that ran, such as "TOCO". run_by: whose interpreter ran the result.
    """

    reason: str = ""
    message: str = ""
    engine: str = ""
    api: str = ""
    error: float | None = None
    run_by: str = ""
    verification: str = ""


@dataclass
class Record:
    """One environment.

    unavailable: why this machine cannot have it, and then there is nothing else.
    import_seconds: of what the environment's definition says that it must import, in a fresh process.
    load: the machine's load average when that had been timed; far above its cores, the seconds say little.
    not_written: forms of a model that this version could not write, and what it said.
    no_interpreter: why its TensorFlow cannot run a .tflite; empty where it can.
    """

    name: str
    summary: str
    python: str
    tensorflow: str = ""
    unavailable: str = ""
    import_seconds: float = 0.0
    load: float = 0.0
    bytes_on_disk: int = 0
    no_interpreter: str = ""
    not_written: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def write(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def read(name: str) -> Record | None:
    """An environment's record; None where no run has made one."""
    file = FOLDER / f"{name}.json"
    if not file.exists():
        return None
    data = json.loads(file.read_text())
    outcomes = {label: Outcome(**outcome) for label, outcome in data.pop("outcomes").items()}
    return Record(**data, outcomes=outcomes)


def note(subject: str, **facts: object) -> None:
    """Keep what a test of the seeds measured, beside what was kept of the same subject before."""
    _NOTES.parent.mkdir(parents=True, exist_ok=True)
    notes = read_notes()
    notes.setdefault(subject, {}).update(facts)
    _NOTES.write_text(json.dumps(notes, indent=1) + "\n")


def read_notes() -> dict[str, dict[str, object]]:
    """What the tests of the seeds measured, by subject."""
    return json.loads(_NOTES.read_text()) if _NOTES.exists() else {}
