"""What the tables of support say, against the converters of two environments, asked as the tables' maker asks them."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from modelmill_inspector.support import tables
from modelmill_worker import op_versions
from pytest_elsewhere import ROOT, cache_folder

#: The first run installs the environments.
pytestmark = pytest.mark.timeout(1800)

TABLES = ROOT / "plugins" / "inspector" / "tables"
CODE = [ROOT / "protos", ROOT / "workers", ROOT / "plugins" / "tflite-quantizer", TABLES]

#: Operations whose lines in the tables are asked for again: builtin, TensorFlow's, custom, unknown to the older one.
OPERATIONS = ["Conv2D", "Neg", "Exp", "AddV2", "Sinh", "Svd", "FusedBatchNormV3", "StringLower", "Reshape", "Cumsum"]


@pytest.fixture(scope="module")
def environments():
    made = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    yield made
    made.close()


@pytest.mark.parametrize("version", ["1.13", "2.15"])
def test_the_converter_does_what_the_table_says(version, environments, tmp_path):
    status = environments.status(f"tf-{version}")
    if status.availability is Availability.UNAVAILABLE:
        pytest.skip(status.unavailable_reason)
    lines = (TABLES / "samples.txt").read_text().splitlines()
    samples = tmp_path / "samples.txt"
    samples.write_text("\n".join(line for line in lines if line.split(" ")[0] in OPERATIONS))

    found = convert(environments.ensure(f"tf-{version}", print), samples, tmp_path)

    index = op_versions.versions().index(version)
    expected = {
        " ".join([operation, *(f"{name}={value}" if value else name for name, value in line.conditions)]): line.letters
        for operation in OPERATIONS
        for line in tables.tflite().lines[operation]
    }
    differing = {key: (letters[index], found[key]) for key, letters in expected.items() if letters[index] != found[key]}
    assert differing == {}
    assert len(set(found.values())) > 2


def convert(environment, samples: Path, folder: Path) -> dict[str, str]:
    results = folder / "results.json"
    variables = {"HOME": str(folder), "PYTHONPATH": os.pathsep.join(map(str, CODE)), **environment.variables}
    command = [environment.python, "-W", "ignore", TABLES / "convert_samples.py", samples, results]
    run = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, check=False)
    assert results.exists(), run.stderr
    attempts = json.loads(results.read_text())["attempts"]
    return {key: tables.letter_of(tried) for key, tried in attempts.items()}
