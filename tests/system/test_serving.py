"""`modelmill serve` and the commands of the same user share one coordinator: a home has one at a time."""

import json
import subprocess
import sys
from pathlib import Path

MODELMILL = Path(sys.executable).with_name("modelmill")


def test_a_command_uses_the_coordinator_that_is_served_on_its_home(coordinator_of, frozen, tmp_path) -> None:
    served = coordinator_of().start()
    command = [MODELMILL, "convert", frozen, "--to", "test-copy", "--no-verify", "--output", tmp_path / "out", "--json"]

    done = subprocess.run(command, env=served.variables, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["conversion"]["state"] == "SUCCEEDED"
    assert served.running
    assert (tmp_path / "out" / "test-copy").is_dir()


def test_a_second_coordinator_on_a_home_says_that_it_is_in_use(coordinator_of) -> None:
    served = coordinator_of().start()
    command = [MODELMILL, "serve", "--address", "127.0.0.1:0"]

    done = subprocess.run(command, env=served.variables, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "HOME_IN_USE" in done.stderr
    assert served.running
