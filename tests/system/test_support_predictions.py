"""What the inspector predicts of a conversion is what happens: a sample of `python -m benchmarks support`."""

from pathlib import Path

import pytest
from modelmill.client import Client

from benchmarks.support import Model, Way, compare


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
    ways = tuple(Way("tflite", version, version) for version in converts)
    found = compare(client, Model(path), corpus, ways, tmp_path)
    assert {one.way: one.converted for one in found} == converts
    assert [one.why for one in found if not one.agrees] == []
