"""Whoever ends what: no process and no file is left, and what can go on goes on."""

import os
import signal

import grpc
import pytest
from modelmill_protos.v1 import failure_pb2

INFRASTRUCTURE = failure_pb2.Failure.INFRASTRUCTURE


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_ends_the_step_when_the_stream_is_closed(host, tools, end):
    stream = host.begin("sleep")
    stream.call.cancel() if end == "cancel" else stream.close()
    tools.wait_until(lambda: not tools.exists(stream.outcome.pid), "the end of the step")
    if end == "close":
        assert stream.read_until("failed") == "failed"
        assert stream.outcome.failed.reason == "STEP_CANCELLED"
        assert stream.outcome.failed.fault == failure_pb2.Failure.CANCELLATION
    tools.wait_until(lambda: not host.step_folders(), "the end of its folder")
    assert host.run("copy").finished


@pytest.mark.parametrize("detached", [False, True])
def test_ends_what_a_finished_step_has_started(host, tools, detached):
    outcome = host.run("spawn-child", {"detached": detached})
    assert not tools.exists(int(outcome.facts["child"]))


@pytest.mark.parametrize("detached", [False, True])
def test_ends_what_a_cancelled_step_has_started(host, tools, detached):
    stream = host.begin("spawn-child", {"wait": True, "detached": detached})
    child = _child(stream)
    stream.call.cancel()
    tools.wait_until(lambda: not tools.exists(child), "the end of the child")


def test_types_a_kill_from_outside(host, tools):
    stream = host.begin("sleep")
    os.kill(stream.outcome.pid, signal.SIGKILL)
    assert stream.read_until("failed", "finished") == "failed"
    assert stream.outcome.failed.reason == "STEP_SIGNALLED"
    assert stream.outcome.details["signal"] == "SIGKILL"
    assert "memory" in stream.outcome.failed.message
    assert host.run("copy").finished


def test_starts_another_zygote_where_one_was_killed(start_host, tools):
    host = start_host(arguments=["--concurrency", "2"])
    plain, detached = host.begin("sleep"), host.begin("spawn-child", {"wait": True, "detached": True})
    child = _child(detached)
    first = host.zygote()
    os.kill(first, signal.SIGKILL)
    for stream in (plain, detached):
        assert stream.read_until("failed", "finished") == "failed"
        assert stream.outcome.failed.reason == "WORKER_LOST"
        assert stream.outcome.failed.fault == INFRASTRUCTURE
        assert not tools.exists(stream.outcome.pid)
    assert not tools.exists(child)
    assert host.run("copy").finished
    assert host.logged("zygote started")[-1]["pid"] != first


def test_leaves_no_process_where_the_host_was_killed(start_host, tools):
    host = start_host()
    stream = host.begin("spawn-child", {"wait": True, "detached": True})
    doomed = [host.zygote(), stream.outcome.pid, _child(stream)]
    assert all(tools.exists(pid) for pid in doomed)
    host.process.kill()
    tools.wait_until(lambda: not any(tools.exists(pid) for pid in doomed), "the end of all processes")
    with pytest.raises(grpc.RpcError):
        stream.read_until("failed")


def test_leaves_no_process_where_the_host_was_killed_while_importing(start_host, tools, tmp_path):
    host = start_host(python_path=[_plugin(tools, tmp_path, "import time; time.sleep(3600)")])
    zygote = tools.wait_until(lambda: host.logged("zygote started"), "the zygote")[0]["pid"]
    host.process.kill()
    tools.wait_until(lambda: not tools.exists(zygote), "the end of the zygote")


@pytest.mark.parametrize("end", ["stdin", "SIGTERM"])
def test_leaves_nothing_when_it_ends(start_host, tools, end):
    host = start_host()
    stream = host.begin("spawn-child", {"wait": True, "detached": True})
    doomed = [host.zygote(), stream.outcome.pid, _child(stream)]
    host.process.stdin.close() if end == "stdin" else host.process.terminate()
    assert host.process.wait(timeout=60) == 0
    assert not any(tools.exists(pid) for pid in doomed)
    assert host.left_behind() == []
    assert not (host.folder.parent / "w.sock").exists()


def test_clears_what_a_killed_host_left(start_host, short_folder):
    host = start_host()
    host.run("copy")
    host.process.kill()
    host.process.wait()
    assert any(path.startswith("blobs/") for path in host.left_behind())
    # Another host in the same folder, as a coordinator that starts anew may choose.
    second = start_host(arguments=["--folder", str(host.folder)])
    assert not any(path.startswith("blobs/") for path in host.left_behind())
    assert second.run("copy").finished


def test_types_a_failed_import_and_spares_the_other_plugins(start_host, tools, tmp_path):
    host = start_host(python_path=[_plugin(tools, tmp_path, "raise ImportError('no such library')")])
    outcome = host.run("go", plugin="importing")
    assert outcome.failed.reason == "PRELOAD_FAILED"
    assert "no such library" in outcome.failed.message
    assert "Traceback" in outcome.failed.log_tail
    assert host.run("copy").finished
    assert len(host.logged("zygote started")) == 1


def test_gives_up_on_imports_that_kill_the_process(start_host, tools, tmp_path):
    code = "import os; os.write(2, b'Illegal instruction ahead'); os.abort()"
    host = start_host(python_path=[_plugin(tools, tmp_path, code)])
    for _ in range(4):
        outcome = host.run("copy")
        assert outcome.failed.reason == "PRELOAD_FAILED"
        assert "Illegal instruction ahead" in outcome.failed.log_tail
    assert len(host.logged("zygote started")) <= 2
    assert host.describe().environment == "here"


def test_does_not_preload_where_the_requirement_is_missing(start_host, tools, tmp_path):
    code = "raise ImportError('must not be called')"
    host = start_host(python_path=[_plugin(tools, tmp_path, code, requires=("tensorflow>=1.15",))])
    assert host.run("go", plugin="importing").finished


def _plugin(tools, folder, preload, requires=()):
    """A plug-in whose `preload` runs the given code."""
    tools.install_metadata(folder, "modelmill-importing", "modelmill_importing")
    (folder / "modelmill_importing.py").write_text(
        """
from modelmill_worker import Edge, Plugin, Role, hookimpl

def preload():
    {}

def go(step):
    (step.output / "gone").write_text("gone")
    return {{}}

@hookimpl
def modelmill_plugins():
    edge = Edge("go", Role.CONVERT, (("model", "tf.frozen_graph"),), "test.go", go, requires={!r})
    yield Plugin("importing", "1.0", "Imports", (edge,), preload=preload)
""".format(preload, requires)
    )
    return folder


def _child(stream):
    """The pid that the edge spawn-child printed."""
    while "child " not in stream.outcome.log or not stream.outcome.log.endswith("\n"):
        assert stream.read() is not None
    return int(stream.outcome.log.split("child ")[1].split()[0])
