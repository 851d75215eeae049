import os

import pytest
from modelmill_worker import watch
from modelmill_worker.step_folder import StepFolder, write_json
from modelmill_worker.watch import Limits, LogNews, ProgressNews, Watch


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    folder = StepFolder(tmp_path / "step")
    folder.create()
    return folder


def watching(folder, clock, deadline=0.0, memory=0, log=0):
    return Watch(folder, Limits(deadline, memory, log), clock)


def test_passes_no_limit_where_none_is_given(folder, clock):
    looking = watching(folder, clock)
    clock.now += 1e6
    assert looking.overrun(os.getpid()) is None
    assert looking.peak_memory > 0


def test_counts_the_deadline_from_the_start_of_the_process(folder, clock):
    looking = watching(folder, clock, deadline=10.0)
    clock.now += 60.0
    looking.begin()
    clock.now += 9.9
    assert looking.overrun(os.getpid()) is None
    clock.now += 0.2
    assert looking.overrun(os.getpid()).reason == "STEP_DEADLINE_EXCEEDED"


def test_sees_memory_above_the_limit(folder, clock):
    failure = watching(folder, clock, memory=1 << 20).overrun(os.getpid())
    assert failure.reason == "STEP_OUT_OF_MEMORY"
    assert failure.details["used_bytes"] > 1 << 20


def test_sees_a_log_above_the_limit(folder, clock):
    looking = watching(folder, clock, log=10)
    folder.log.write_bytes(b"x" * 10)
    assert looking.overrun(os.getpid()) is None
    folder.log.write_bytes(b"x" * 11)
    assert looking.overrun(os.getpid()).reason == "STEP_LOG_FLOODED"


def test_tells_each_piece_of_log_once_and_cuts_no_character(folder, clock):
    looking = watching(folder, clock)
    told = []
    data = "größe\n".encode()
    for cut in range(len(data)):
        with folder.log.open("ab") as log:
            log.write(data[cut : cut + 1])
        told += [item.text for item in looking.news()]
    assert "".join(told) == "größe\n"
    assert list(looking.news()) == []


def test_replaces_what_is_no_text(folder, clock):
    folder.log.write_bytes(b"a\xffb")
    assert list(watching(folder, clock).news(final=True)) == [LogNews("a\ufffdb")]


def test_says_how_much_of_a_long_log_it_left_out(folder, clock):
    folder.log.write_bytes(b"x" * (300 << 10))
    (item,) = watching(folder, clock).news(final=True)
    assert "[{} more bytes".format((300 - 256) << 10) in item.text


def test_tells_the_latest_progress_once(folder, clock):
    looking = watching(folder, clock)
    for fraction in (0.1, 0.2):
        write_json(folder.report / "progress.json", {"fraction": fraction, "message": "m"})
    assert list(looking.news()) == [ProgressNews(0.2, "m")]
    assert list(looking.news()) == []


@pytest.mark.parametrize("rubbish", ["[]", "{", '{"fraction": "x", "message": 1}', "{}"])
def test_overlooks_progress_that_is_none(folder, clock, rubbish):
    (folder.report / "progress.json").write_text(rubbish)
    assert list(watching(folder, clock).news()) == []


def test_tail_starts_with_a_line(folder):
    folder.log.write_bytes(b"".join(b"line %06d\n" % number for number in range(2000)))
    tail = watch.tail(folder.log)
    assert len(tail) <= watch.TAIL_BYTES
    assert tail.startswith("line ")
    assert tail.endswith("line 001999\n")


def test_tail_of_no_log_is_empty(tmp_path):
    assert watch.tail(tmp_path / "nothing") == ""
