"""The fork, with functions that do what TOCO does."""

import os
import signal

import pytest
from modelmill_tflite_quantizer import toco_process
from modelmill_tflite_quantizer.toco_process import TocoFailedError, run_apart
from modelmill_worker import StepError


def test_gives_what_the_function_returns_and_passes_its_words_on(capfd):
    def convert():
        os.write(2, b"2018: I converting\n")
        return b"\x00model"

    assert run_apart(convert) == b"\x00model"
    assert "converting" in capfd.readouterr().err


def test_an_abort_becomes_an_exception_with_the_log():
    def convert():
        os.write(2, b"F quantize.cc:129] Array out does not have MinMax information\n")
        os.abort()

    with pytest.raises(TocoFailedError, match=r"(?s)does not have MinMax.*SIGABRT"):
        run_apart(convert)


def test_an_exception_is_passed_on_with_the_log():
    def convert():
        os.write(2, b"what came before\n")
        raise RuntimeError("TOCO said no")

    with pytest.raises(TocoFailedError, match=r"(?s)what came before.*TOCO said no"):
        run_apart(convert)


def test_a_fork_that_stands_still_is_made_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(toco_process, "_STILL_SECONDS", 0.3)
    stuck = tmp_path / "stuck"

    def convert():
        if not stuck.exists():
            stuck.touch()
            signal.pause()
        return b"model"

    assert run_apart(convert) == b"model"


def test_gives_up_after_some_forks_that_stood_still(monkeypatch):
    monkeypatch.setattr(toco_process, "_STILL_SECONDS", 0.1)

    with pytest.raises(StepError) as caught:
        run_apart(signal.pause)
    assert (caught.value.reason, caught.value.fault) == ("CONVERTER_STUCK", "INFRASTRUCTURE")
