"""Spares: processes forked and warmed up ahead of the step that each of them will run."""

import os
import signal
import threading
from pathlib import Path

import pytest


def test_runs_a_step_in_the_spare_and_the_next_in_another_process(host):
    first = host.spare()
    assert host.run("copy").pid == first
    second = host.spare()
    assert second != first
    assert host.run("copy").pid == second


def test_forks_a_process_at_once_where_no_spare_is_warm(host):
    # No spare is made while a step runs.
    first = host.begin("sleep")
    outcome = host.run("look")
    assert outcome.finished
    assert outcome.pid not in [line["pid"] for line in host.logged("spare ready")]
    first.call.cancel()


def test_gives_a_step_nothing_of_the_warm_up(host):
    spare = host.spare()
    outcome = host.run("look")
    assert outcome.pid == spare
    assert outcome.log == ""
    assert outcome.facts["found"] == []
    assert outcome.facts["descriptors"] == [0, 1, 2]


def test_confines_what_the_warm_up_has_started(host, tmp_path):
    if not host.logged("worker serves")[0]["landlock"]:
        pytest.skip("no Landlock here")
    spare = host.spare()
    outcome = host.run("look", {"write_to": str(tmp_path / "outside")})
    assert outcome.pid == spare
    assert outcome.facts["elsewhere_writable"] is False
    assert outcome.facts["elsewhere_writable_in_old_thread"] is False
    assert outcome.facts["inputs_writable"] is False
    assert not (tmp_path / "outside").exists()


def test_the_thread_of_the_warm_up_could_write_without_a_sandbox(start_host, tmp_path):
    host = start_host(variables={"MODELMILL_SANDBOX": "off"})
    host.spare()
    outcome = host.run("look", {"write_to": str(tmp_path / "outside")})
    assert outcome.facts["elsewhere_writable_in_old_thread"] is True


def test_holds_a_step_in_a_spare_to_its_limits(host):
    spare = host.spare()
    outcome = host.run("sleep", deadline_seconds=0.2)
    assert (outcome.pid, outcome.failed.reason) == (spare, "STEP_DEADLINE_EXCEEDED")
    spare = host.spare()
    outcome = host.run("eat-memory", memory_bytes=200 << 20)
    assert (outcome.pid, outcome.failed.reason) == (spare, "STEP_OUT_OF_MEMORY")


def test_makes_another_spare_where_one_was_killed(start_host, tools):
    host = start_host()
    killed = host.spare()
    os.kill(killed, signal.SIGKILL)
    tools.wait_until(lambda: not tools.exists(killed), "its end")
    assert host.run("copy").finished
    assert host.spare() != killed
    tools.wait_until(lambda: not host.step_folders(), "the end of the killed spare's folder")


def test_ends_the_spare_of_a_step_that_cannot_be_laid_out(host, tools):
    spare = host.spare()
    assert host.run("copy", files={"../outside": b"1"}).failed.reason == "INVALID_PATH"
    tools.wait_until(lambda: not tools.exists(spare), "the end of the spare")
    assert not host.step_folders()
    assert host.run("copy").finished


@pytest.mark.parametrize("killed", ["host", "zygote", "nobody"])
def test_a_spare_ends_with_what_it_waits_for(start_host, tools, killed):
    host = start_host()
    spare = host.spare()
    if killed == "host":
        host.process.kill()
    elif killed == "zygote":
        os.kill(host.zygote(), signal.SIGKILL)
    else:
        assert host.stop() == 0
        assert host.left_behind() == []
    tools.wait_until(lambda: not tools.exists(spare), "the end of the spare")
    if killed == "zygote":
        assert host.run("copy").finished
        assert host.spare() != spare
        assert not host.step_folders()


def test_gives_up_on_warm_ups_that_kill_the_process(start_host, tools):
    host = start_host(variables={"MISBEHAVING_WARM_UP": "abort"})
    (told,) = tools.wait_until(lambda: host.logged("no more spares: steps start cold"), "the end of trying")
    assert told["cause"] == "signal SIGABRT"
    assert "warming up" in told["log"]
    assert len(host.logged("spare ended")) == 2
    assert host.run("copy").finished
    assert list((host.folder / "steps").iterdir()) == []


def test_uses_a_spare_whose_warm_up_raised(start_host):
    host = start_host(variables={"MISBEHAVING_WARM_UP": "raise"})
    for _ in range(2):
        spare = host.spare()
        assert host.run("copy").pid == spare
    assert (host.folder / "zygote.log").read_text().count("RuntimeError: not warm") == 1


def test_does_not_wait_for_a_warm_up(start_host, tools):
    host = start_host(variables={"MISBEHAVING_WARM_UP": "hang"})
    zygote = host.zygote()
    listing = Path("/proc/{0}/task/{0}/children".format(zygote))
    spare = int(tools.wait_until(listing.read_text, "the spare's process"))
    outcome = host.run("copy")
    assert outcome.finished
    assert outcome.pid != spare
    assert tools.exists(spare)


def test_makes_no_spares_where_told_so(start_host):
    host = start_host(variables={"MODELMILL_SPARES": "off"})
    stream = host.begin("copy")
    # With spares on, the folder of the next one is made with the order to start a step.
    assert not list((host.folder / "steps").glob("spare-*"))
    assert stream.read_until("finished") == "finished"


def test_runs_many_steps_two_at_a_time(host):
    outcomes = []

    def run_ten():
        for _ in range(10):
            outcomes.append(host.run("copy"))

    threads = [threading.Thread(target=run_ten) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(outcome.finished for outcome in outcomes)
    assert len({outcome.pid for outcome in outcomes}) == 20
    assert not host.step_folders()
