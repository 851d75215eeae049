import pytest
from modelmill_tfjs_exporter.generations import GENERATIONS, generation_of
from modelmill_worker import StepError


@pytest.mark.parametrize(
    ("version", "row"), [("0.8.0", 0), ("0.8.6", 0), ("1.7.4", 1), ("1.7.4.post1", 1), ("4.22.0", 2), ("4.30.1", 2)]
)
def test_chooses_the_row_of_a_version(version, row):
    assert generation_of(version) is GENERATIONS[row]


@pytest.mark.parametrize("version", ["0.6.7", "1.0.1", "1.6.0", "2.8.5", "3.21.0", "4.21.0", "5.0.0"])
def test_refuses_a_version_that_no_row_drives(version):
    with pytest.raises(StepError) as caught:
        generation_of(version)
    assert caught.value.reason == "TENSORFLOWJS_UNSUPPORTED"
    assert "4.22 to below 5.0" in caught.value.message


def test_rows_are_in_order_and_do_not_overlap():
    for older, newer in zip(GENERATIONS, GENERATIONS[1:]):
        assert older.since < older.until <= newer.since < newer.until


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda row: row.module)
def test_a_package_is_listed_before_what_is_in_it(generation):
    for position, name in enumerate(generation.unused):
        parent = name.rpartition(".")[0]
        assert not parent or parent in generation.unused[:position]


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda row: row.module)
def test_what_is_needed_gets_no_stand_in(generation):
    assert set(generation.needs).isdisjoint(generation.unused)
    assert generation.needs[0] == "tensorflow"
