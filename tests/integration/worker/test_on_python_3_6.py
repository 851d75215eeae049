"""The worker's own tests, once more on Python 3.6, the oldest that its environments use."""

from pathlib import Path

import pytest
from modelmill.fleet.interpreters import Interpreter, Interpreters
from pytest_elsewhere import make_environment, run_pytest

LOCK = Path(__file__).with_name("requirements-3.6.txt")


def test_passes_on_python_3_6(tmp_path):
    found = Interpreters().find("3.6")
    if not isinstance(found, Interpreter):
        pytest.skip("there is no Python 3.6, neither on PATH nor among pyenv's versions")

    outcome = run_pytest(
        make_environment(LOCK, found.path),
        tests=["tests/unit/worker", "tests/integration/worker"],
        path=["protos", "workers"],
        folder=tmp_path,
        left_out=["tests/integration/worker/" + Path(__file__).name],
    )

    assert outcome.exit_code == 0, outcome.output
    assert outcome.passed
