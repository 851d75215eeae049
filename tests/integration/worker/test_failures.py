"""Every way in which a step can die becomes its typed failure; host and next step are unharmed."""

import os
import subprocess

import pytest
from modelmill_protos.v1 import artifact_pb2, failure_pb2, worker_pb2

TOOL, INPUT = failure_pb2.Failure.TOOL, failure_pb2.Failure.INPUT
INFRASTRUCTURE = failure_pb2.Failure.INFRASTRUCTURE
_MIB = 1 << 20

_200_MIB = {"memory_bytes": 200 * _MIB}

DEATHS = [
    ("abort", {}, {}, "STEP_SIGNALLED", TOOL, {"signal": "SIGABRT"}, "about to abort"),
    ("abort", {"native": True}, {}, "STEP_SIGNALLED", TOOL, {"signal": "SIGABRT"}, "rank() == 4 from C"),
    ("segfault", {"words": "near"}, {}, "STEP_SIGNALLED", TOOL, {"signal": "SIGSEGV"}, "near"),
    ("bad-alloc", {}, {}, "STEP_OUT_OF_MEMORY", TOOL, {"signal": "SIGABRT"}, "std::bad_alloc"),
    ("eat-memory", {}, _200_MIB, "STEP_OUT_OF_MEMORY", TOOL, {"limit_bytes": 200 * _MIB}, ""),
    (
        "grab-memory",
        {"mebibytes": 1 << 20},
        {"memory_bytes": 200 * _MIB},
        "STEP_OUT_OF_MEMORY",
        TOOL,
        {},
        "MemoryError",
    ),
    ("sleep", {}, {"deadline_seconds": 0.3}, "STEP_DEADLINE_EXCEEDED", TOOL, {"deadline_seconds": 0.3}, "asleep"),
    ("flood-stderr", {}, {"log_bytes": 100000}, "STEP_LOG_FLOODED", TOOL, {"limit_bytes": 100000}, "again and again"),
    ("flood-stderr", {"native": True}, {}, "STEP_LOG_FLOODED", TOOL, {"limit_bytes": 16 * _MIB}, "again and again"),
    ("raise", {}, {}, "PLUGIN_RAISED", TOOL, {"exception": "RuntimeError"}, "Traceback (most recent call last)"),
    ("explain", {"words": "said"}, {}, "NOT_THIS_MODEL", INPUT, {"node": "conv1"}, "said"),
    ("exit", {"code": 3}, {}, "STEP_EXITED", TOOL, {"exit_code": 3}, "leaving"),
    ("exit", {"code": 0}, {}, "STEP_EXITED", TOOL, {"exit_code": 0}, "leaving"),
    ("no-output", {}, {}, "PLUGIN_GAVE_NOTHING", TOOL, {}, ""),
    ("link-output", {}, {}, "OUTPUT_REFUSED", TOOL, {"path": "link"}, ""),
    ("rubbish-facts", {}, {}, "NOT_JSON", TOOL, {"where": "facts.errors[1]"}, ""),
    ("fill", {}, {}, "DISK_FULL", INFRASTRUCTURE, {}, "No space left on device"),
]


@pytest.mark.parametrize(
    ("edge", "options", "limits", "reason", "fault", "details", "words"),
    DEATHS,
    ids=["{}-{}".format(index, death[0]) for index, death in enumerate(DEATHS)],
)
def test_types_a_death_and_survives_it(host, tools, edge, options, limits, reason, fault, details, words):
    outcome = host.run(edge, options, **limits)
    assert outcome.finished is None
    assert outcome.failed.reason == reason, outcome.failed
    assert outcome.failed.fault == fault
    assert {key: outcome.details.get(key) for key in details} == details
    assert words in outcome.failed.log_tail
    assert len(outcome.failed.log_tail) <= 8192
    assert "Traceback" not in outcome.failed.message
    assert not tools.exists(outcome.pid)
    assert host.run("copy").finished


def test_puts_the_first_line_of_an_exception_into_the_message(host):
    failed = host.run("raise").failed
    assert "RuntimeError: the tool does not like this model" in failed.message
    assert "second line" not in failed.message
    assert "second line" in failed.log_tail


def test_adds_what_plugins_know_about_a_failure(host):
    outcome = host.run("explain", {"words": "known trouble"})
    assert [hint["code"] for hint in outcome.details["hints"]] == ["KNOWN_TROUBLE"]
    assert outcome.details["node"] == "conv1"


def test_skips_and_logs_a_hint_hook_that_raises(host):
    outcome = host.run("explain", {"words": "please raise in the hook"})
    assert outcome.failed.reason == "NOT_THIS_MODEL"
    (line,) = host.logged("error hint hook raised")
    assert (line["distribution"], line["step_id"]) == ("modelmill-misbehaving", "step-1")


def test_names_the_known_plugins_for_an_unknown_one(host):
    outcome = host.run("copy", plugin="nobody")
    assert outcome.failed.reason == "UNKNOWN_PLUGIN"
    assert "misbehaving" in outcome.failed.message


def test_names_the_known_edges_for_an_unknown_one(host):
    outcome = host.run("fly")
    assert outcome.failed.reason == "UNKNOWN_EDGE"
    assert "segfault" in outcome.failed.message


@pytest.mark.parametrize("options", [{"words": 3}, {"word": "x"}])
def test_refuses_an_option_that_is_wrong(host, options):
    outcome = host.run("copy", options)
    assert outcome.failed.reason == "INVALID_OPTION"
    assert outcome.failed.fault == INPUT
    assert outcome.need == []


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a//b", "", "a/./b"])
def test_refuses_a_path_that_leaves_the_folder(host, path):
    outcome = host.run("copy", files={path: b"x"})
    assert outcome.failed.reason == "INVALID_PATH"


def test_refuses_two_files_of_one_name(host, tools):
    stream = host.stream()
    file = artifact_pb2.File(path="f", digest=tools.digest_of(b""), size=0)
    inputs = {"model": artifact_pb2.Artifact(kind="tf.frozen_graph", files=[file, file])}
    stream.send(start=worker_pb2.StepStart(plugin="misbehaving", edge="copy", inputs=inputs))
    stream.read_until("need")
    for digest in stream.outcome.need:
        stream.send_file(digest, b"")
    assert stream.read_until("failed") == "failed"
    assert stream.outcome.failed.reason == "INVALID_PATH"


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_refuses_a_digest_that_is_none(host, digest):
    stream = host.stream()
    file = artifact_pb2.File(path="f", digest=digest, size=0)
    inputs = {"model": artifact_pb2.Artifact(kind="tf.frozen_graph", files=[file])}
    stream.send(start=worker_pb2.StepStart(plugin="misbehaving", edge="copy", inputs=inputs))
    assert stream.read_until("failed") == "failed"
    assert stream.outcome.failed.reason == "INVALID_DIGEST"


@pytest.mark.parametrize("inputs", [{}, {"model": "tflite"}, {"graph": "tf.frozen_graph"}])
def test_refuses_inputs_that_the_edge_does_not_take(host, inputs):
    stream = host.stream()
    given = {name: artifact_pb2.Artifact(kind=kind) for name, kind in inputs.items()}
    stream.send(start=worker_pb2.StepStart(plugin="misbehaving", edge="copy", inputs=given))
    assert stream.read_until("failed") == "failed"
    assert stream.outcome.failed.reason == "INVALID_INPUT"
    assert "model (tf.frozen_graph)" in stream.outcome.failed.message


def test_refuses_bytes_that_were_changed_on_their_way(host, tools):
    files = {"graph.pb": b"the right bytes"}
    stream = host.stream()
    stream.start("misbehaving", "copy", {}, files)
    stream.read_until("need")
    stream.send_file(stream.outcome.need[0], b"the wrong bytes")
    assert stream.read_until("failed") == "failed"
    assert stream.outcome.failed.reason == "DIGEST_MISMATCH"
    assert stream.outcome.failed.fault == INFRASTRUCTURE
    assert not [path for path in host.left_behind() if "incoming" in path]
    assert host.run("copy", files=files).need == [tools.digest_of(b"the right bytes")]


def test_refuses_bytes_that_nobody_asked_for(host, tools):
    stream = host.stream()
    stream.start("misbehaving", "copy", {}, {"graph.pb": b"asked for"})
    stream.read_until("need")
    stream.send_file(tools.digest_of(b"other"), b"other")
    assert stream.read_until("failed") == "failed"
    assert stream.outcome.failed.reason == "PROTOCOL_VIOLATED"


def test_refuses_to_send_what_the_step_did_not_make(host, tools):
    stream = host.begin("copy")
    stream.read_until("finished")
    stream.send(want=worker_pb2.Digests(digests=[tools.digest_of(b"a secret of another")]))
    assert stream.read_until("failed") == "failed"
    assert stream.outcome.failed.reason == "UNKNOWN_DIGEST"


@pytest.mark.parametrize("mebibytes", [3.0, 1.5], ids=["the host's files", "the step's files"])
def test_types_a_full_disk(start_host, short_folder, mebibytes):
    # A file system of 2 MiB that only this host sees; it is gone with the host.
    small = short_folder / "small"
    small.mkdir()
    mount = "mount -t tmpfs -o size=2m tmpfs {}".format(small)
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*namespace, mount], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system of his own")
    host = start_host(prefix=[*namespace, mount + ' && exec "$0" "$@"'], arguments=["--folder", str(small)])
    outcome = host.run("copy", files={"graph.pb": os.urandom(int(mebibytes * _MIB))})
    assert outcome.failed.reason == "DISK_FULL"
    assert outcome.failed.fault == INFRASTRUCTURE
    assert host.run("copy", files={"graph.pb": b"small"}).finished
