"""A step that goes well, from the first message to the last."""

import os
import signal
import socket

import grpc
import pytest
from modelmill_protos.v1 import catalog_pb2, worker_pb2

MODEL = {"graph.pb": b"not looked at by these edges", "weights/part": b"\x00" * 3000}


def test_describes_environment_and_plugins(host):
    description = host.describe()
    assert (description.environment, description.environment_digest) == ("here", "d1")
    (plugin,) = [plugin for plugin in description.plugins if plugin.name == "misbehaving"]
    assert plugin.distribution == "modelmill-misbehaving"
    assert len(plugin.code_digest) == 64
    edge = {edge.name: edge for edge in plugin.edges}["sleep"]
    assert edge.role == catalog_pb2.Edge.CONVERT
    assert (edge.inputs[0].name, edge.inputs[0].kind, edge.output) == ("model", "tf.frozen_graph", "test.sleep")
    assert edge.options_schema["properties"]["seconds"]["type"] == "number"
    assert "test-abort" in [target.name for target in plugin.targets]


def test_gives_files_facts_and_log_back(host, tools):
    outcome = host.run("copy", {"words": "grüße"})
    assert outcome.finished.output.kind == "test.copy"
    files = {file.path: (file.digest, file.size) for file in outcome.finished.output.files}
    assert files == {path: (tools.digest_of(data), len(data)) for path, data in MODEL.items()}
    assert outcome.outputs == {tools.digest_of(data): data for data in MODEL.values()}
    assert outcome.facts == {"words": "grüße", "files": 2.0}
    assert outcome.log == "grüße\n"
    assert outcome.finished.run_seconds > 0
    assert outcome.finished.peak_memory > 1 << 20


def test_asks_once_for_the_same_bytes(host, tools):
    files = {"graph.pb": b"these bytes are new here"}
    assert host.run("copy", files=files).need == [tools.digest_of(files["graph.pb"])]
    assert host.run("copy", files=files).need == []


def test_asks_for_nothing_that_an_earlier_step_made(host, tools):
    eaten = host.run("eat-memory", {"mebibytes": 1}).finished.output.files[0]
    outcome = host.run("copy", files={"graph.pb": b"1"})
    assert eaten.digest == tools.digest_of(b"1")
    assert outcome.need == []


def test_takes_the_same_bytes_under_two_names(host, tools):
    files = {"a": b"the same in both", "b/c": b"the same in both"}
    outcome = host.run("copy", files=files)
    assert outcome.need == [tools.digest_of(b"the same in both")]
    assert [file.path for file in outcome.finished.output.files] == ["a", "b/c"]


def test_takes_an_empty_file(host, tools):
    outcome = host.run("copy", files={"empty": b""})
    assert outcome.finished.output.files[0].size == 0
    assert outcome.outputs == {tools.digest_of(b""): b""}


def test_passes_large_files_in_chunks(host, tools):
    data = os.urandom(5 * (1 << 20) + 17)
    stream = host.stream()
    stream.start("misbehaving", "copy", {}, {"large": data})
    stream.read_until("need")
    pieces = [data[start : start + (1 << 20)] for start in range(0, len(data), 1 << 20)]
    for piece in pieces:
        stream.send(chunk=worker_pb2.Chunk(digest=tools.digest_of(data), data=piece, last=piece is pieces[-1]))
    assert stream.read_until("finished", "failed") == "finished"
    stream.send(want=worker_pb2.Digests(digests=[tools.digest_of(data)]))
    stream.close()
    sizes = []
    while stream.read() == "chunk":
        sizes.append(len(stream.outcome.outputs[tools.digest_of(data)]))
    assert stream.outcome.outputs[tools.digest_of(data)] == data
    assert len(sizes) >= 6
    assert stream.call.code() == grpc.StatusCode.OK


def test_sends_no_output_that_is_not_wanted(host):
    stream = host.begin("copy")
    assert stream.read_until("finished") == "finished"
    stream.send(want=worker_pb2.Digests())
    stream.close()
    assert stream.read() is None
    assert stream.call.code() == grpc.StatusCode.OK


def test_tells_progress_while_the_step_runs(host):
    outcome = host.run("slow-progress", {"steps": 5, "seconds": 0.15})
    fractions = [progress.fraction for progress in outcome.progress]
    assert fractions == sorted(fractions)
    assert len(fractions) >= 2
    assert outcome.progress[-1].message == "part 5"
    assert outcome.log == "".join("part {}\n".format(number) for number in range(1, 6))


def test_confines_a_step_process_to_its_own(host, tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        options = {"write_to": str(tmp_path / "outside"), "connect_to": server.getsockname()[1]}
        facts = host.run("look", options).facts
    assert facts["working_directory"]
    assert facts["temporary"]
    assert facts["standard_input"]
    assert facts["descriptors"] == [0, 1, 2]
    assert facts["leads_its_session"]
    assert facts["core_limit"] == 0
    assert facts["moves_to_output"]
    landlock = host.logged("worker serves")[0]["landlock"]
    if not landlock:
        pytest.skip("no Landlock here: what follows holds only with it")
    assert not facts["inputs_writable"]
    assert not facts["elsewhere_writable"]
    assert not (tmp_path / "outside").exists()
    assert facts["connects"] == (landlock < 4)


def test_leaves_the_sandbox_where_told_so(start_host, tmp_path):
    host = start_host(variables={"MODELMILL_SANDBOX": "off"})
    assert host.run("look", {"write_to": str(tmp_path / "outside")}).facts["elsewhere_writable"]


def test_runs_two_steps_at_once(host):
    first = host.begin("sleep")
    second = host.begin("sleep")
    assert first.outcome.pid != second.outcome.pid
    for stream in (first, second):
        stream.call.cancel()


def test_makes_a_step_wait_for_a_free_slot(start_host, tools):
    host = start_host(arguments=["--concurrency", "1"])
    first = host.begin("sleep")
    second = host.stream()
    second.start("misbehaving", "copy", {}, MODEL)
    second.read_until("need")
    second.send_needed(MODEL)
    assert len(host.logged("step started")) == 1
    first.call.cancel()
    assert second.read_until("finished", "failed") == "finished"
    assert not tools.exists(first.outcome.pid)


def test_gives_two_steps_the_same_new_bytes(host, tools):
    files = {"graph.pb": b"new to both"}
    streams = [host.stream(), host.stream()]
    for stream in streams:
        stream.start("misbehaving", "copy", {}, files)
        assert stream.read_until("need") == "need"
    for stream in streams:
        assert stream.outcome.need == [tools.digest_of(b"new to both")]
        stream.send_needed(files)
    for stream in streams:
        assert stream.read_until("finished", "failed") == "finished"
        stream.send(want=worker_pb2.Digests())
        stream.close()
        assert stream.read() is None


def test_forgets_what_was_used_longest_ago(start_host, tools):
    host = start_host(arguments=["--cache-bytes", "5000"])
    old, new = {"f": b"o" * 3000}, {"f": b"n" * 3000}
    host.run("copy", files=old)
    host.run("copy", files=new)
    assert host.run("copy", files=new).need == []
    assert host.run("copy", files=old).need == [tools.digest_of(old["f"])]


def test_ignores_ctrl_c_which_is_for_the_coordinator(host):
    host.process.send_signal(signal.SIGINT)
    assert host.run("copy").finished


def test_leaves_nothing_of_a_step_behind(host):
    host.run("copy")
    host.run("raise")
    assert not host.step_folders()
