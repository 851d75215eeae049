import pytest
from modelmill_tflite_quantizer.generations import GENERATIONS, generation_of
from modelmill_worker import StepError


@pytest.mark.parametrize(
    ("version", "engine"),
    [
        ("1.15.5", "TOCO"),
        ("2.0.4", "TOCO"),
        ("2.1.0", "TOCO"),
        ("2.2.0", "MLIR"),
        ("2.15.1", "MLIR"),
        ("2.21.0", "MLIR"),
    ],
)
def test_finds_the_generation_of_a_version(version, engine):
    assert generation_of(version).engine == engine


@pytest.mark.parametrize("version", ["1.14.0", "2.22.0", "3.0.0"])
def test_refuses_versions_without_a_row(version):
    with pytest.raises(StepError) as caught:
        generation_of(version)
    assert caught.value.reason == "TENSORFLOW_UNSUPPORTED"


def test_rows_follow_each_other_without_hole_or_overlap():
    for earlier, later in zip(GENERATIONS, GENERATIONS[1:]):
        assert earlier.until == later.since
