import hashlib

import pytest
from modelmill.artifacts import StepResults
from modelmill.errors import ModelmillError
from modelmill.values import Artifact, File, StepResult

KEY = hashlib.sha256(b"key").hexdigest()


@pytest.fixture
def results(store):
    return StepResults(store)


def result_of(digest, facts=None):
    return StepResult(Artifact("tflite", (File("model.tflite", digest, 5),)), facts or {"notes": ["ß"]}, 1.25, 1 << 20)


def test_a_committed_result_is_found_again(store, results):
    result = result_of(store.put_bytes(b"model"))
    results.commit(KEY, result)
    assert StepResults(store).lookup(KEY) == result
    assert list((store.folder / "incoming").iterdir()) == []


def test_an_unknown_key_has_no_result(results):
    assert results.lookup(KEY) is None


def test_refuses_a_result_whose_files_are_not_in_the_store(results):
    digest = hashlib.sha256(b"never stored").hexdigest()
    with pytest.raises(ModelmillError) as caught:
        results.commit(KEY, result_of(digest))
    assert caught.value.reason == "FILES_MISSING"
    assert caught.value.failure.details == {"digests": [digest]}
    assert results.lookup(KEY) is None


def test_forgets_a_result_whose_file_is_gone(store, results):
    digest = store.put_bytes(b"model")
    results.commit(KEY, result_of(digest))
    store.path(digest).unlink()

    assert results.lookup(KEY) is None
    store.put_bytes(b"model")
    assert results.lookup(KEY) is None, "the entry was dropped, not only hidden"


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"output": null}'])
def test_forgets_an_entry_that_cannot_be_read(store, results, text):
    entry = store.folder / "results" / KEY[:2] / (KEY[2:] + ".json")
    entry.parent.mkdir(parents=True)
    entry.write_text(text)
    assert results.lookup(KEY) is None
    assert not entry.exists()


def test_the_last_result_under_a_key_counts(store, results):
    results.commit(KEY, result_of(store.put_bytes(b"model"), {"run": 1}))
    results.commit(KEY, result_of(store.put_bytes(b"model"), {"run": 2}))
    assert results.lookup(KEY).facts == {"run": 2}


def test_refuses_a_key_that_is_not_a_digest(results):
    with pytest.raises(ModelmillError):
        results.lookup("../x")
