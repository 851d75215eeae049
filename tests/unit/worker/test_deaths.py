import signal

import pytest
from modelmill_worker import deaths
from modelmill_worker.failures import EXIT_DISK_FULL


@pytest.mark.parametrize(
    ("number", "name", "words"),
    [
        (signal.SIGABRT, "SIGABRT", "check in its native code"),
        (signal.SIGSEGV, "SIGSEGV", "crashed"),
        (signal.SIGILL, "SIGILL", "CPU"),
        (signal.SIGBUS, "SIGBUS", "space"),
        (signal.SIGFPE, "SIGFPE", "zero"),
        (signal.SIGKILL, "SIGKILL", "memory"),
        (signal.SIGTERM, "SIGTERM", "SIGTERM"),
    ],
)
def test_names_the_signal_and_says_what_to_do(number, name, words):
    failure = deaths.explain(int(number), "the log")
    assert failure.reason == "STEP_SIGNALLED"
    assert failure.details["signal"] == name
    assert words in failure.message
    assert failure.log_tail == "the log"


def test_names_a_signal_that_has_no_name():
    assert deaths.explain(40, "").details["number"] == 40


def test_a_core_dump_does_not_hide_the_signal():
    assert deaths.explain(int(signal.SIGSEGV) | 0x80, "").details["signal"] == "SIGSEGV"


@pytest.mark.parametrize("line", ["  what():  std::bad_alloc", "OOM when allocating tensor", "Cannot allocate memory"])
def test_an_abort_for_want_of_memory_is_out_of_memory(line):
    failure = deaths.explain(int(signal.SIGABRT), "some\n" + line + "\n")
    assert failure.reason == "STEP_OUT_OF_MEMORY"


def test_an_old_word_about_memory_does_not_explain_an_abort():
    log = "std::bad_alloc, caught, went on\n" + "line\n" * 40 + "Check failed\n"
    assert deaths.explain(int(signal.SIGABRT), log).reason == "STEP_SIGNALLED"


def test_tells_the_exit_code():
    failure = deaths.explain(3 << 8, "")
    assert (failure.reason, failure.details["exit_code"]) == ("STEP_EXITED", 3)


def test_knows_a_process_that_could_not_write_its_failure():
    assert deaths.explain(EXIT_DISK_FULL << 8, "").reason == "DISK_FULL"
