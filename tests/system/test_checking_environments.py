"""`environments check` in real workers: what an environment converts is run, and is as good as the model itself."""

import re

import pytest
from modelmill.client import Client


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("base", r"imports, freezes, makes tf.frozen_graph"),
        (
            "tf-2.15",
            r"imports, freezes, makes tf.frozen_graph \((\S+) from the graph's own results\), "
            r"makes tflite \((\S+) from the graph's own results\)",
        ),
    ],
)
def test_an_environment_shows_that_it_works(coordinator_of, name: str, found: str) -> None:
    with coordinator_of(MODELMILL_PLUGINS="") as coordinator, Client(coordinator.address) as client:
        *progress, last = client.check_environment(name)
    assert not last.HasField("failure"), last.failure
    assert last.environment.name == name
    summary = re.fullmatch(rf"{name}: It works: {found}", progress[-1].message)
    assert summary, progress[-1].message
    # Sums of at most 36 products of numbers below 8: float32's rounding stays below 36 * 8 * 2**-24 = 1.7e-5.
    assert all(float(error) < 2e-5 for error in summary.groups())
