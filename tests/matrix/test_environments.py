"""Every environment: a net trained and saved in it, converted in it by the farm, and right by its own session's word.

The witness is not the farm: `golden.npz` holds what the version's own TensorFlow computed from the model before it
saved it, and the .tflite is run by a program that shares no code with the farm, in the version's own interpreter where
it has one and else in that of the nearest newer version that has. What is found is kept for docs/environments.md.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format
from matrix import records
from matrix.conftest import DEFINITIONS
from matrix.conversions import FORMS, TFJS, TFLITE, Asked
from matrix.environment_run import EnvironmentRun, bytes_on_disk, run_models
from matrix.records import Outcome, Record
from modelmill.client import Client, catalog_pb2, conversion_pb2
from modelmill.errors import ModelmillError
from modelmill.fleet.definitions import EnvironmentDefinition
from packaging.version import Version

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

#: Largest error of an output relative to its range. The nets are six layers deep: sums of at most 108 float32 products
#: taken in another order, and batch normalisations folded into weights, move a value by some 1e-6 of the range; a wrong
#: operator moves it by more than a hundredth.
TOLERANCE = 1e-5

Conversion = conversion_pb2.Conversion


def tensorflow_of(definition: EnvironmentDefinition) -> str:
    return definition.provides.get("tensorflow", "")


PLAIN = sorted(
    (name for name, definition in DEFINITIONS.items() if list(definition.provides) == ["tensorflow"]),
    key=lambda name: Version(tensorflow_of(DEFINITIONS[name])),
)
TENSORFLOWJS = [name for name, definition in DEFINITIONS.items() if "tensorflowjs" in definition.provides]
OTHERS = [name for name in DEFINITIONS if name not in {*PLAIN, *TENSORFLOWJS}]


class Matrix:
    """Fills the records of environments, one environment at a time."""

    def __init__(self, farm: Client, install: Callable[[str], EnvironmentRun], folder: Path) -> None:
        self._farm = farm
        self._install = install
        self._folder = folder
        self._no_interpreter: dict[str, str] = {}

    def measured(self, name: str) -> tuple[Record, EnvironmentRun]:
        """An environment's record with what holds without any model; skips what this machine cannot have."""
        definition = DEFINITIONS[name]
        record = Record(name, definition.summary, definition.python, tensorflow_of(definition))
        try:
            run = self._install(name)
        except pytest.skip.Exception as unavailable:
            record.unavailable = str(unavailable)
            record.write()
            raise
        record.import_seconds = run.import_seconds()
        record.load = os.getloadavg()[0]
        record.bytes_on_disk = bytes_on_disk(run.folder)
        return record, run

    def converted(self, name: str, conversions: tuple[Asked, ...], target: str) -> Record:
        """The record of an environment that has TensorFlow: everything written, converted, run and compared."""
        record, run = self.measured(name)
        folder = self._folder / name
        folder.mkdir()
        written = run.program("write_models.py", folder)
        assert written.returncode == 0, written.stderr
        told = json.loads((folder / "written.json").read_text())
        record.not_written = {form: reason for form, reason in told.items() if reason}
        asked = [one for one in conversions if not told[one.form]]
        # All at once: two of them convert while others wait, as everybody's do.
        begun = {one: self._begin(one, folder, record, target) for one in asked}
        for one, answer in begun.items():
            output = folder / f"out-{asked.index(one)}"
            record.outcomes[one.label] = answer if isinstance(answer, Outcome) else self._ended(answer, output)
        if target == "tflite":
            self._run_tflite(record, {one: folder / f"out-{asked.index(one)}" / target for one in asked}, folder)
        record.write()
        return record

    def _begin(self, asked: Asked, folder: Path, record: Record, target: str) -> str | Outcome:
        """The id of a conversion, or how it ended at once."""
        spec = conversion_pb2.ConversionSpec(display_name=f"{record.name}: {asked.label}")
        request = spec.targets.add(name=target, tensorflow=record.tensorflow)
        request.options.update(asked.options)
        # What another version would do is no answer here.
        spec.version_retries = 0
        if target == "tfjs":  # which no program of ours can run: the farm is given the golden images
            images = np.load(folder / asked.form / "golden.npz")["images"]
            np.savez(folder / "images.npz", images=images)
            spec.verification.dataset.CopyFrom(self._farm.upload(folder / "images.npz", "dataset"))
        try:
            return self._farm.begin(asked.source(folder), spec).id
        except ModelmillError as error:
            return Outcome(reason=error.reason, message=str(error))

    def _ended(self, conversion_id: str, output: Path) -> Outcome:
        list(self._farm.watch_conversion(conversion_id))
        conversion = self._farm.get_conversion(conversion_id)
        if conversion.state != Conversion.SUCCEEDED:
            return Outcome(reason=conversion.failure.reason, message=conversion.failure.message)
        self._farm.save(conversion, output)
        (result,) = conversion.results
        facts = {step.id: json_format.MessageToDict(step.facts) for step in conversion.steps}
        maker = facts[next(step.id for step in conversion.plan.steps if step.output == result.artifact.kind)]
        state = conversion_pb2.Verification.State.Name(result.verification.state)
        outcome = Outcome(engine=maker.get("converter", ""), api=maker.get("api", ""), verification=state)
        outcome.message = result.verification.reason
        return outcome

    def _run_tflite(self, record: Record, results: dict[Asked, Path], folder: Path) -> None:
        """Fill in how far each result is from the golden outputs."""
        done = {one: path for one, path in results.items() if not record.outcomes[one.label].reason}
        files = {
            one: (path / "model.tflite", folder / one.form / "golden.npz", path / "outputs.npz")
            for one, path in done.items()
        }
        runner, said = self._run_in_nearest(record, list(files.values()), folder)
        for one, (_, golden, outputs) in files.items():
            outcome = record.outcomes[one.label]
            outcome.run_by = runner
            if outputs.exists():
                outcome.error = error_of(dict(np.load(outputs)), dict(np.load(golden)))
            else:
                outcome.message = said[-2000:]

    def _run_in_nearest(self, record: Record, models: list[tuple[Path, Path, Path]], folder: Path) -> tuple[str, str]:
        """Run in the environment itself where it has an interpreter, else in the nearest newer one that has.

        Whose interpreter it was, and what was said.
        """
        for name in PLAIN[PLAIN.index(record.name) :]:
            if name in self._no_interpreter:
                continue
            said, lacking = run_models(self._install(name), models, folder)
            if not lacking:
                record.no_interpreter = self._no_interpreter.get(record.name, "")
                return name, said
            self._no_interpreter[name] = lacking
        raise AssertionError("no environment has an interpreter")


def error_of(outputs: dict[str, np.ndarray], golden: dict[str, np.ndarray]) -> float:
    """Largest difference of an output relative to its golden range; outputs are told apart by their width."""
    by_width = {values.shape[-1]: values for values in outputs.values()}
    assert len(by_width) == len(outputs) == len(golden) - 1
    errors = []
    for name in sorted(set(golden) - {"images"}):
        span = float(np.ptp(golden[name]))
        assert span > 0, "an output that is everywhere the same proves nothing"
        values = by_width[golden[name].shape[-1]]
        assert values.shape == golden[name].shape
        errors.append(float(np.max(np.abs(values.astype(np.float64) - golden[name]))) / span)
    return max(errors)


@pytest.fixture(scope="module")
def matrix(farm: Client, install: Callable[[str], EnvironmentRun], tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(farm, install, tmp_path_factory.mktemp("matrix"))


@pytest.fixture(scope="module", params=PLAIN)
def record(request: pytest.FixtureRequest, matrix: Matrix) -> Record:
    """What one environment made of everything."""
    return matrix.converted(request.param, TFLITE, "tflite")


def test_writes_the_forms_that_its_version_has(record: Record) -> None:
    can = {form for form, versions in FORMS.items() if record.tensorflow in versions}

    assert set(FORMS) - set(record.not_written) == can, record.not_written


@pytest.mark.parametrize("asked", TFLITE, ids=lambda asked: asked.label)
def test_converts_to_tflite_and_computes_the_same(record: Record, asked: Asked, record_property) -> None:
    if asked.form in record.not_written:
        pytest.skip(f"TensorFlow {record.tensorflow} writes no such model: {record.not_written[asked.form]}")
    outcome = record.outcomes[asked.label]
    refusal = asked.refusal(record.tensorflow)

    assert outcome.reason == refusal, outcome.message
    if not refusal:
        assert outcome.error is not None, outcome.message
        record_property("error of range", outcome.error)
        assert outcome.error <= TOLERANCE
        assert outcome.verification == "PASSED", outcome.message
        if "converter" in asked.options:
            assert outcome.engine.lower() == asked.options["converter"]


@pytest.mark.parametrize("name", TENSORFLOWJS)
def test_converts_to_tensorflowjs(matrix: Matrix, name: str) -> None:
    record = matrix.converted(name, TFJS, "tfjs")

    for asked in TFJS:
        outcome = record.outcomes[asked.label]
        assert outcome.reason == "", outcome.message
        assert outcome.verification == "PASSED" or "Node" in outcome.message, outcome.message


@pytest.mark.parametrize("name", OTHERS)
def test_imports_what_it_is_for(matrix: Matrix, name: str) -> None:
    record, _ = matrix.measured(name)
    record.write()

    assert record.import_seconds > 0


def test_a_file_that_several_environments_have_is_on_disk_once(farm: Client) -> None:
    folders = [Path(one.path) for one in farm.list_environments() if one.state == catalog_pb2.Environment.INSTALLED]
    assert len(folders) >= 2

    together = bytes_on_disk(*folders)

    assert together < sum(bytes_on_disk(folder) for folder in folders)
    records.note("disk", environments=len(folders), together_bytes=together)
