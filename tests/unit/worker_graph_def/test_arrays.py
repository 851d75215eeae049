import io
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from modelmill_worker import StepError, arrays

# What TensorFlow allows in a node's name, and the colon of a tensor's.
NAMES = st.from_regex(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]{0,30}(:[0-9])?", fullmatch=True)
DTYPES = hnp.scalar_dtypes() | hnp.byte_string_dtypes(max_len=5)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_side=3))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.dictionaries(NAMES, ARRAYS, max_size=4))
def test_any_arrays_under_any_names_survive(tmp_path, given_arrays):
    path = tmp_path / "arrays.npz"
    arrays.write(path, given_arrays)
    found = arrays.read(path)

    assert set(found) == set(given_arrays)
    for name, values in given_arrays.items():
        assert found[name].dtype == values.dtype
        assert found[name].shape == values.shape
        assert found[name].tobytes() == values.tobytes()


def test_names_that_numpy_stumbles_over_survive(tmp_path):
    wanted = {"file": np.zeros(1), "a": np.ones(1), "a.npy": np.ones(2), "self": np.ones(3), "x/../y": np.ones(4)}
    arrays.write(tmp_path / "arrays.npz", wanted)
    found = arrays.read(tmp_path / "arrays.npz")

    assert {name: values.size for name, values in found.items()} == {
        name: values.size for name, values in wanted.items()
    }


def test_equal_arrays_give_equal_bytes_in_any_order(tmp_path):
    one, two = np.arange(3), np.ones((2, 2))
    arrays.write(tmp_path / "first.npz", {"one": one, "two": two})
    arrays.write(tmp_path / "second.npz", {"two": two, "one": one})

    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


def test_numpy_reads_what_is_written(tmp_path):
    arrays.write(tmp_path / "arrays.npz", {"net/input:0": np.arange(3)})
    with np.load(tmp_path / "arrays.npz") as found:
        assert found.files == ["net/input:0"]
        assert found["net/input:0"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(tmp_path, save):
    save(tmp_path / "arrays.npz", **{"net/input": np.arange(3)})
    assert arrays.read(tmp_path / "arrays.npz")["net/input"].tolist() == [0, 1, 2]


def objects():
    content = io.BytesIO()
    np.savez(content, words=np.array(["a", None], dtype=object))
    return content.getvalue()


def no_array():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return content.getvalue()


@pytest.mark.parametrize("content", [b"", b"no archive", objects(), no_array()])
def test_refuses_what_is_no_npz_of_plain_arrays(tmp_path, content):
    (tmp_path / "arrays.npz").write_bytes(content)
    with pytest.raises(StepError) as caught:
        arrays.read(tmp_path / "arrays.npz")
    assert caught.value.reason == "DATASET_UNREADABLE"
    assert caught.value.fault == "INPUT"


def test_refuses_an_archive_cut_short(tmp_path):
    arrays.write(tmp_path / "whole.npz", {"x": np.arange(100)})
    content = (tmp_path / "whole.npz").read_bytes()
    for length in range(0, len(content), 37):
        (tmp_path / "cut.npz").write_bytes(content[:length])
        with pytest.raises(StepError):
            arrays.read(tmp_path / "cut.npz")


def test_refuses_an_array_whose_bytes_were_changed(tmp_path):
    arrays.write(tmp_path / "arrays.npz", {"x": np.arange(100)})
    content = bytearray((tmp_path / "arrays.npz").read_bytes())
    content[300] ^= 1
    (tmp_path / "arrays.npz").write_bytes(bytes(content))
    with pytest.raises(StepError):
        arrays.read(tmp_path / "arrays.npz")
