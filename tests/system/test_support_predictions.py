"""What the inspector predicts of a conversion is what happens: a sample of `python -m benchmarks support`."""

from pathlib import Path

import pytest
from modelmill.client import Client

from benchmarks.support import Model, compare


@pytest.mark.parametrize(
    ("path", "converts"),
    [
        ("mtcnn/tf1.15.5/rnet/frozen.pb", {"1.13": True, "2.15": True}),
        ("kws-tf1-frozen/DS_CNN_S.pb", {"1.9": False, "2.15": False}),
    ],
)
def test_predicted_as_converted(
    path: str, converts: dict[str, bool], client: Client, corpus: Path, tmp_path: Path
) -> None:
    found = compare(client, Model(path), corpus, tuple(converts), tmp_path)
    assert {one.version: one.converted for one in found} == converts
    assert [one.why for one in found if not one.agrees] == []
