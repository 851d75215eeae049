import asyncio
import json
import signal

from modelmill.client import conversion_pb2

Conversion = conversion_pb2.Conversion


def names(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*"))


async def test_converts_and_tells_what_it_wrote(modelmill, model, tmp_path):
    run = await modelmill("convert", model, "--to", "tflite", "--output", "out")
    assert run.code == 0, run.err
    assert names(tmp_path / "out") == ["report.json", "tflite", "tflite/graph.pb"]
    assert "out/tflite/graph.pb" in run.out
    assert "succeeded" in run.out.splitlines()[-1]
    assert "a: running" in run.err


async def test_json_is_all_there_is_on_standard_output(modelmill, model):
    run = await modelmill("convert", model, "--to", "tflite", "--output", "out", "--json")
    told = json.loads(run.out)
    assert told["conversion"]["state"] == "SUCCEEDED"
    assert told["files"] == ["out/tflite/graph.pb", "out/report.json"]
    assert "running" in run.err


async def test_every_option_reaches_the_farm(modelmill, model, farm, tmp_path):
    (tmp_path / "inputs.npz").write_bytes(b"arrays")
    run = await modelmill(
        *("convert", model, "--output", "out", "--to", "tflite:quantization=dynamic", "--to", "tfjs:n=[1,2]"),
        *("--option", "freezer.mode=fast", "--option", "rewriter.skip=a", "--option", "rewriter.skip=b"),
        *("--output-node", "prob", "--output-node", "bbox", "--input-shape", "x=1,8,8,3"),
        *("--input", "batch:1=1,8,8,3:float32", "--input", "size", "--set", "is_training=false", "--set", "keep=1"),
        *("--use-moving-averages", "--only-variable", "a/*", "--without-variable", "a/b", "--without-variable", "a/c"),
        *("--dataset", "inputs.npz", "--seed", "7", "--tolerance", "0.01", "--no-verify", "--no-cache"),
        *("--salt", "s", "--deadline", "90", "--step-deadline", "1.5", "--memory", "4GiB"),
        *("--tensorflow", ">=2.4,<2.16", "--retry-versions", "0"),
    )
    assert run.code == 0, run.err
    spec = next(iter(farm.conversions.conversions.values())).spec
    assert [target.name for target in spec.targets] == ["tflite", "tfjs"]
    assert dict(spec.targets[0].options) == {"quantization": "dynamic"}
    assert list(spec.targets[1].options["n"]) == [1, 2]
    assert list(spec.plugin_options["freezer"]["outputs"]) == ["prob", "bbox"]
    assert list(spec.plugin_options["freezer"]["inputs"]) == ["batch:1=1,8,8,3:float32", "size"]
    assert dict(spec.plugin_options["freezer"]["settings"]) == {"is_training": "false", "keep": "1"}
    assert spec.plugin_options["freezer"]["use_moving_averages"] is True
    assert list(spec.plugin_options["freezer"]["only_variables"]) == ["a/*"]
    assert list(spec.plugin_options["freezer"]["without_variables"]) == ["a/b", "a/c"]
    assert spec.plugin_options["freezer"]["mode"] == "fast"
    assert list(spec.plugin_options["rewriter"]["skip"]) == ["a", "b"]
    verification = spec.verification
    assert list(verification.input_shapes["x"].dimensions) == [1, 8, 8, 3]
    assert (verification.dataset.kind, verification.dataset.files[0].path) == ("dataset", "arrays.npz")
    assert farm.store.has(verification.dataset.files[0].digest)
    assert (verification.seed, verification.tolerance, verification.skip) == (7, 0.01, True)
    assert (spec.salt, spec.ignore_cache, spec.display_name) == ("s", True, "graph.pb")
    assert spec.limits.conversion_deadline.seconds == 90
    assert spec.limits.step_deadline.ToMilliseconds() == 1500
    assert spec.limits.step_memory == 4 << 30
    assert [target.tensorflow for target in spec.targets] == [">=2.4,<2.16"] * 2
    assert spec.HasField("version_retries")
    assert spec.version_retries == 0


async def test_a_tolerance_that_is_not_given_is_not_zero(modelmill, model, farm):
    await modelmill("convert", model, "--to", "tflite", "--output", "out")
    spec = next(iter(farm.conversions.conversions.values())).spec
    assert not spec.verification.HasField("tolerance")
    assert not spec.limits.HasField("step_deadline")
    assert not spec.HasField("version_retries")


async def test_writes_what_succeeded_and_says_what_did_not(modelmill, model, tmp_path):
    run = await modelmill("convert", model, "--to", "tflite", "--to", "bad", "--output", "out")
    assert run.code == 1
    assert names(tmp_path / "out") == ["report.json", "tflite", "tflite/graph.pb"]
    assert "tflite succeeded, bad did not" in run.out
    assert "error VERIFICATION_FAILED" in run.err
    assert "error" not in run.out


async def test_writes_nothing_when_nothing_succeeded(modelmill, model, tmp_path):
    run = await modelmill("convert", model, "--to", "bad", "--output", "out/deep")
    assert run.code == 1
    assert not (tmp_path / "out").exists()


async def test_a_source_that_is_not_there_is_refused_before_anything_is_started(modelmill, model, farm):
    await farm.stop()
    run = await modelmill("convert", "grph.pb", "--to", "tflite", "--output", "out")
    assert run.code == 1
    assert run.err.startswith("error SOURCE_NOT_FOUND: There is no grph.pb. Near it there is: graph.pb.")
    assert "Traceback" not in run.err


async def test_a_failure_as_json_is_on_standard_output(modelmill):
    run = await modelmill("convert", "nowhere", "--to", "tflite", "--output", "out", "--json")
    assert run.code == 1
    assert json.loads(run.out)["failure"]["reason"] == "SOURCE_NOT_FOUND"


async def test_a_call_that_makes_no_sense_exits_with_2(modelmill, model):
    for arguments in (
        ["convert", model, "--output", "out"],
        ["convert", model, "--to", "tflite"],
        ["convert", model, "--to", "tflite", "--output", "out", "--detach"],
        ["convert", model, "--to", "tflite", "--detach", "--html", "page.html"],
        ["convert", model, "--to", "tflite", "--output", "out", "--memory", "lots"],
        ["convert", model, "--to", "tflite", "--output", "out", "--tolerance", "-1"],
        ["environments", "install"],
        ["conversions", "list", "--state", "asleep"],
        ["nonsense"],
    ):
        run = await modelmill(*arguments)
        assert run.code == 2, arguments
        assert "Usage:" in run.err


async def test_a_server_that_is_not_there_is_told_at_once(modelmill, model, tmp_path):
    run = await modelmill("targets", "--server", f"unix:{tmp_path}/nobody")
    assert run.code == 1
    assert run.err.startswith("error SERVER_UNAVAILABLE: ")


async def test_a_reader_that_stops_reading_is_no_error(modelmill, farm):
    process = await modelmill.start("targets")
    process.stdout._transport.close()
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert b"Traceback" not in err


async def test_ctrl_c_cancels_the_conversion_and_leaves_nothing(modelmill, model, farm, tmp_path):
    for signum in (signal.SIGINT, signal.SIGTERM):
        farm.conversions.hold.clear()
        farm.conversions.conversions.clear()
        process = await modelmill.start("convert", model, "--to", "tflite", "--output", "out")
        while b"a: running" not in await asyncio.wait_for(process.stderr.readline(), 60):
            pass
        process.send_signal(signum)
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 1
        assert b"Traceback" not in err
        (conversion,) = farm.conversions.conversions.values()
        assert conversion.state == Conversion.CANCELLED
        assert not (tmp_path / "out").exists()


async def test_a_detached_conversion_is_watched_listed_shown_and_downloaded(modelmill, model, tmp_path):
    conversion = (await modelmill("convert", model, "--to", "tflite", "--detach")).out.strip()

    watched = await modelmill("conversions", "watch", conversion, "--json")
    assert [json.loads(line)["sequence"] for line in watched.out.splitlines()] == [str(n) for n in range(1, 8)]
    assert (await modelmill("conversions", "watch", conversion, "--from", "7")).code == 0

    listed = await modelmill("conversions", "list", "--state", "succeeded")
    assert conversion in listed.out
    assert "graph.pb" in listed.out
    assert json.loads((await modelmill("conversions", "list", "--json")).out)["conversions"][0]["id"] == conversion
    assert "succeeded" in (await modelmill("conversions", "show", conversion)).out

    downloaded = await modelmill("conversions", "download", conversion, "--output", "later")
    assert downloaded.out.split() == ["later/tflite/graph.pb", "later/report.json"]
    assert (tmp_path / "later" / "tflite" / "graph.pb").read_bytes() == b"a model"


async def test_a_conversion_without_results_has_nothing_to_download(modelmill, model, tmp_path):
    conversion = (await modelmill("convert", model, "--to", "bad", "--detach")).out.strip()
    assert (await modelmill("conversions", "watch", conversion)).code == 1
    run = await modelmill("conversions", "download", conversion, "--output", "later")
    assert run.code == 1
    assert run.err.startswith("error NO_RESULTS")
    assert not (tmp_path / "later").exists()


async def test_an_unknown_conversion_is_told_with_its_details(modelmill):
    run = await modelmill("conversions", "show", "nowhere")
    assert run.code == 1
    assert run.err.splitlines() == ["error CONVERSION_NOT_FOUND: There is no conversion nowhere.", "  id: nowhere"]


async def test_cancels_by_id(modelmill, model, farm):
    farm.conversions.hold.clear()
    conversion = (await modelmill("convert", model, "--to", "tflite", "--detach")).out.strip()
    run = await modelmill("conversions", "cancel", conversion)
    assert run.out.strip() == f"{conversion} cancelled"
