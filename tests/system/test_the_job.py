"""The main job: a TF1 checkpoint becomes TFLite and TensorFlow.js, asked for by a client in another process."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from coordinator_process import CoordinatorProcess
from google.protobuf import json_format
from modelmill.client import catalog_pb2, conversion_pb2

HERE = Path(__file__).parent
FARM_TARGETS = ("tflite", "tfjs")


def run_client(coordinator: CoordinatorProcess, folder: Path, output: Path) -> conversion_pb2.Conversion:
    command = [sys.executable, HERE / "converting_client.py", coordinator.address]
    command += [folder / "model.ckpt", folder / "graph.pbtxt", output, *FARM_TARGETS]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return json_format.Parse(printed, conversion_pb2.Conversion())


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("job") / "out"


@pytest.fixture(scope="module")
def conversion(
    shared_coordinator: CoordinatorProcess, checkpoint_folder: Path, output: Path
) -> conversion_pb2.Conversion:
    return run_client(shared_coordinator, checkpoint_folder, output)


def test_converts_and_verifies_both_targets(conversion: conversion_pb2.Conversion):
    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED
    assert [result.target for result in conversion.results] == list(FARM_TARGETS)
    for result in conversion.results:
        verification = result.verification
        if result.target == "tfjs" and verification.state == conversion_pb2.Verification.SKIPPED:
            assert verification.reason  # a machine without Node
            continue
        assert verification.state == conversion_pb2.Verification.PASSED
        assert sorted(output.output for output in verification.outputs) == ["pnet/bbox", "pnet/prob"]
        for compared in verification.outputs:
            # float32 in another order of operations: the issue allows 1e-4 of the output's range.
            assert compared.max_abs_error <= 1e-4 * compared.reference_range
            assert compared.reference_range > 0
            assert compared.cosine_similarity > 0.999999


def test_runs_each_step_where_its_tools_are(conversion: conversion_pb2.Conversion, writer: catalog_pb2.Environment):
    environments = {(step.plugin, step.target): step.environment for step in conversion.plan.steps}

    assert environments["inspector", ""] == "base"
    assert environments["freezer", ""] == writer.name
    assert {environments["rewriter", target] for target in FARM_TARGETS} == {"base"}
    assert environments["tflite-quantizer", "tflite"] == "tf-2.15"
    assert environments["tfjs-exporter", "tfjs"] == "tfjs-4"
    assert all(step.reason for step in conversion.plan.steps)


def test_fuses_every_prelu_before_the_conversion(conversion: conversion_pb2.Conversion):
    rewrites = [step for step in conversion.steps if step.id.startswith("rewrite")]

    assert len(rewrites) == len(FARM_TARGETS)
    for step in rewrites:
        rules = {rule["rule"]: rule for rule in json_format.MessageToDict(step.facts)["rules"]}
        assert len(rules["prelu"]["fired"]) == 3  # P-Net's


def test_writes_files_that_are_what_the_report_says(conversion: conversion_pb2.Conversion, output: Path):
    for result in conversion.results:
        for file in result.artifact.files:
            content = (output / result.target / file.path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file.digest
    assert (output / "tflite" / "model.tflite").read_bytes()[4:8] == b"TFL3"
    assert json.loads((output / "tfjs" / "model.json").read_text())["format"] == "graph-model"

    report = json_format.Parse((output / "report.json").read_text(), conversion_pb2.Conversion())
    assert report.plan == conversion.plan
    assert report.results == conversion.results
    assert [step.id for step in report.steps] == [step.id for step in report.plan.steps]
    for step in report.steps:
        assert step.state == conversion_pb2.Step.SUCCEEDED
        assert step.cached or (step.attempts == 1 and step.peak_memory > 0)
        assert step.cached or step.start_time.ToNanoseconds() <= step.end_time.ToNanoseconds()


def test_answers_the_second_run_from_the_cache(
    shared_coordinator: CoordinatorProcess,
    conversion: conversion_pb2.Conversion,
    checkpoint_folder: Path,
    tmp_path: Path,
):
    second = run_client(shared_coordinator, checkpoint_folder, tmp_path / "out")

    assert second.id != conversion.id
    assert all(step.cached for step in second.steps)
    assert second.results == conversion.results
    assert (tmp_path / "out" / "tflite" / "model.tflite").is_file()


def test_maps_tensorflow_into_no_process_but_the_zygotes_that_need_it(
    shared_coordinator: CoordinatorProcess, conversion: conversion_pb2.Conversion
):
    hosts = shared_coordinator.hosts()
    assert {"base", "tf-2.15", "tfjs-4"} <= set(hosts)

    assert not maps_tensorflow(psutil.Process(shared_coordinator.pid))
    assert not any(maps_tensorflow(host) for host in hosts.values())
    assert not any(maps_tensorflow(process) for process in hosts["base"].children(recursive=True))
    # The look finds TensorFlow where it is.
    assert any(maps_tensorflow(process) for process in hosts["tf-2.15"].children())


def maps_tensorflow(process: psutil.Process) -> bool:
    return "tensorflow" in Path(f"/proc/{process.pid}/maps").read_text()
