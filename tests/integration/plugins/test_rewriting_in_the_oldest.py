"""Every rule in the oldest Python that an environment has: proofs and calibrations run the rules there."""

import os
import subprocess
from pathlib import Path

import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from pytest_elsewhere import ROOT, cache_folder

pytestmark = pytest.mark.timeout(1800)

GOLDEN = ROOT / "tests" / "unit" / "rewriter" / "golden"
CODE = [ROOT / "protos", ROOT / "workers", ROOT / "plugins" / "rewriter"]


def test_every_rule_runs_in_the_oldest_python():
    environments = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    try:
        status = environments.status("tf-1.5")
        if status.availability is Availability.UNAVAILABLE:
            pytest.skip(status.unavailable_reason)
        python = environments.ensure("tf-1.5", print).python
    finally:
        environments.close()
    program = Path(__file__).parent / "programs" / "rewrite_golden_graphs.py"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, CODE)), "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [python, program, GOLDEN], env=variables, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 3 * len(list(GOLDEN.glob("*/*.before.pbtxt")))
