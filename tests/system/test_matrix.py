"""`modelmill matrix` with real converters: a farm of two TensorFlows, and one that it cannot have."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OURS = Path(__file__).parents[2] / "workers" / "environments"


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """TensorFlow 1.15, 2.15, and a 2.0 whose Python nobody has."""
    folder = tmp_path / "environments"
    for name in ("base", "tf-1.15", "tf-2.15", "tf-2.0", "smoke"):
        shutil.copytree(OURS / name, folder / name)
    definition = folder / "tf-2.0" / "environment.toml"
    definition.write_text(definition.read_text().replace('python = "3.7"', 'python = "3.1"'))
    return folder


def test_every_version_is_converted_checked_and_compared(coordinator_of, definitions, frozen, tmp_path, writer) -> None:
    if writer.name != "tf-1.15":
        pytest.skip("TensorFlow 1.15 cannot be had here: it needs a Python 3.7")
    with coordinator_of(MODELMILL_ENVIRONMENTS=str(definitions), MODELMILL_PLUGINS="") as coordinator:
        command = [sys.executable, "-c", "from modelmill.cli import main; main()", "matrix", frozen, "--to", "tflite"]
        command += ["--output", tmp_path / "out", "--html", tmp_path / "page.html", "--json"]
        environ = {**os.environ, "MODELMILL_SERVER": coordinator.address}
        run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    rows = {row["tensorflow"]: row for row in json.loads(run.stdout)["rows"]}
    assert {version: row["state"] for version, row in rows.items()} == {
        "1.15.5": "DONE",
        "2.0.4": "LEFT_OUT",
        "2.15.1": "DONE",
    }
    assert "pyenv install 3.1" in rows["2.0.4"]["sentence"]
    for version, other in (("1.15.5", "2.15.1"), ("2.15.1", "1.15.5")):
        row = rows[version]
        assert row["environment"] == f"tf-{version.rpartition('.')[0]}"
        assert row["operators"]["CONV_2D"] == 1
        assert row["seconds"] > 0
        model = tmp_path / "out" / f"tflite@{version}" / "model.tflite"
        assert row["size"] == model.stat().st_size + model.with_name("signature.json").stat().st_size
        # Sums of at most 36 products of numbers below 8: float32's rounding stays below 36 * 8 * 2**-24 = 1.7e-5.
        assert row["max_abs_error"] < 2e-5
        assert [difference["label"] for difference in row["differences"]] == [f"tflite@{other}"]
        assert row["farthest"]["max_abs_difference"] < 2e-5
    page = (tmp_path / "page.html").read_text()
    assert all(version in page for version in rows)
