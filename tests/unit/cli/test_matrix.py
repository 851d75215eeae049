import json


def names(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


async def test_asks_for_every_version_and_tells_of_each(modelmill, model, farm, tmp_path):
    run = await modelmill("matrix", model, "--to", "tflite", "--output", "out", "--html", "deep/page.html")
    assert run.code == 0, run.err
    (conversion,) = farm.conversions.conversions.values()
    assert [(target.name, target.every_version) for target in conversion.spec.targets] == [("tflite", True)]
    table = [line.split() for line in run.out.splitlines()]
    assert [line[0] for line in table if line[1:] == ["done", "7", "B"]] == ["1.9.0", "1.10.1"]
    assert "2 done" in run.out.splitlines()
    assert names(tmp_path / "out") == ["report.json", "tflite@1.10.1/graph.pb", "tflite@1.9.0/graph.pb"]
    assert {"results: out", "page: deep/page.html"} <= set(run.out.splitlines())
    assert names(tmp_path / "deep") == ["page.html"]
    assert (tmp_path / "deep" / "page.html").read_text().startswith("<!doctype html>")


async def test_json_has_the_rows_and_the_conversion(modelmill, model, farm):
    run = await modelmill("matrix", model, "--to", "tflite", "--json")
    told = json.loads(run.out)
    assert [(row["label"], row["state"]) for row in told["rows"]] == [
        ("tflite@1.9.0", "DONE"),
        ("tflite@1.10.1", "DONE"),
    ]
    assert told["conversion"]["id"] == next(iter(farm.conversions.conversions))


async def test_no_version_that_is_done_is_a_failure_and_still_told(modelmill, model, tmp_path):
    run = await modelmill("matrix", model, "--to", "bad", "--output", "out", "--html", "page.html")
    assert run.code == 1
    assert "failed: VERIFICATION_FAILED" in run.out
    assert not (tmp_path / "out").exists()
    assert "results: " not in run.out
    assert (tmp_path / "page.html").exists()


async def test_one_version_that_is_done_is_enough(modelmill, model):
    assert (await modelmill("matrix", model, "--to", "bad", "--to", "tflite")).code == 0


async def test_a_page_that_cannot_be_written_is_named(modelmill, model, tmp_path):
    (tmp_path / "page.html").mkdir()
    run = await modelmill("matrix", model, "--to", "tflite", "--html", "page.html")
    assert run.code == 1
    assert run.err.splitlines()[-3].startswith("error OUTPUT_UNWRITABLE: page.html")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".page")] == []
