import asyncio
import inspect
import json
import threading
from contextlib import closing

import pytest
from modelmill.client import AsyncClient, Client, Patience, conversion_pb2
from modelmill.errors import ModelmillError


def spec(*targets):
    return conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name=name) for name in targets])


def names(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


async def test_converts_from_files_to_files(client, model, tmp_path):
    events = []
    conversion = await client.convert(model, spec("tflite", "tfjs"), tmp_path / "out", events.append)

    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED
    assert conversion.spec.display_name == "model"
    assert [event.sequence for event in events] == list(range(1, 8))
    assert names(tmp_path / "out") == sorted(
        ["report.json", *(f"{target}/{path}" for target in ("tflite", "tfjs") for path in names(model))]
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["id"], report["state"]) == (conversion.id, "SUCCEEDED")


async def test_inspects_files_with_options(client, farm, model):
    farm.conversions.facts = {"kind": "tf.graph_def", "nodes": 12, "costs": {"share": 0.5}}
    facts = await client.inspect(model, {"outputs": ["y"], "input_shapes": {"x": [1, 2]}})
    assert json.dumps(facts["nodes"]) == "12"
    assert facts == farm.conversions.facts
    assert farm.conversions.inspected == [{"outputs": ["y"], "input_shapes": {"x": [1, 2]}}]


async def test_saves_the_targets_that_succeeded_where_another_failed(client, model, tmp_path):
    conversion = await client.convert(model / "graph.pb", spec("tflite", "bad"), tmp_path / "out")
    assert conversion.state == conversion_pb2.Conversion.FAILED
    assert names(tmp_path / "out") == ["report.json", "tflite/graph.pb"]


async def test_writes_nothing_where_no_target_succeeded(client, model, tmp_path):
    await client.convert(model, spec("bad", "bad-2"), tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


async def test_an_output_folder_keeps_what_else_is_in_it(client, model, tmp_path):
    out = tmp_path / "out"
    (out / "tflite").mkdir(parents=True)
    (out / "tflite" / "old").touch()
    (out / "mine").touch()
    await client.convert(model / "graph.pb", spec("tflite"), out)
    assert names(out) == ["mine", "report.json", "tflite/graph.pb"]


async def test_a_failing_save_leaves_the_output_folder_as_it_was(client, farm, model, tmp_path):
    out = tmp_path / "out"
    (out / "tflite").mkdir(parents=True)
    (out / "tflite" / "old").touch()
    conversion = await client.begin(model, spec("tflite"))
    async for _ in client.watch_conversion(conversion.id):
        pass
    conversion = await client.get_conversion(conversion.id)
    farm.store.path(conversion.results[0].artifact.files[-1].digest).unlink()

    with pytest.raises(ModelmillError):
        await client.save(conversion, out)

    assert names(out) == ["tflite/old"]
    assert [file.name for file in out.iterdir()] == ["tflite"]


@pytest.mark.parametrize("label", ["..", "../x", "/x", "", ".git", "a/b"])
async def test_a_server_cannot_choose_where_results_go(client, model, tmp_path, label):
    conversion = await client.begin(model / "graph.pb", spec("tflite"))
    async for _ in client.watch_conversion(conversion.id):
        pass
    conversion = await client.get_conversion(conversion.id)
    conversion.results[0].target = label
    with pytest.raises(ModelmillError) as caught:
        await client.save(conversion, tmp_path / "out")
    assert caught.value.reason == "INVALID_LABEL"
    assert not (tmp_path / "out").exists()


async def test_a_watch_that_is_cut_misses_and_repeats_nothing(client, farm, model):
    conversion = await client.begin(model, spec("tflite"))
    farm.conversions.cut_after = 4
    events = [event.sequence async for event in client.watch_conversion(conversion.id)]
    assert events == list(range(1, 8))
    assert farm.conversions.watched == [1, 5]


async def test_a_watch_outlives_a_restart_of_the_server(client, farm, model):
    farm.conversions.hold.clear()
    conversion = await client.begin(model, spec("tflite"))
    sequences = []
    async for event in client.watch_conversion(conversion.id):
        sequences.append(event.sequence)
        if event.sequence == 2:
            await farm.stop()
            farm.conversions.hold.set()
            await farm.start()
    assert sequences == list(range(1, 8))
    assert farm.conversions.watched == [1, 3]


async def test_a_watch_from_a_number_starts_there_and_one_from_beyond_the_end_is_empty(client, model):
    conversion = await client.begin(model, spec("tflite"))
    assert [event.sequence async for event in client.watch_conversion(conversion.id, 6)] == [6, 7]
    assert [event async for event in client.watch_conversion(conversion.id, 99)] == []


async def test_a_watch_gives_up_when_patience_ends(farm, model):
    farm.conversions.hold.clear()
    async with AsyncClient(farm.address, Patience(first=0.01, total=0.1)) as client:
        conversion = await client.begin(model, spec("tflite"))
        events = client.watch_conversion(conversion.id)
        await anext(events)
        await farm.stop()
        with pytest.raises(ModelmillError) as caught:
            [event async for event in events]
    assert caught.value.reason == "SERVER_UNAVAILABLE"


async def test_a_server_is_revived_where_the_client_knows_how(farm, model):
    await farm.stop()
    async with AsyncClient(farm.address, Patience(first=0.01, revive=farm.ensure)) as client:
        assert (await client.begin(model, spec("tflite"))).state == conversion_pb2.Conversion.QUEUED


async def test_a_repeated_request_begins_one_conversion(client, farm, model):
    source = await client.upload(model)
    wanted = spec("tflite")
    wanted.source.CopyFrom(source)
    first = await client.create_conversion(wanted, "id-1")
    second = await client.create_conversion(wanted, "id-1")
    assert first.id == second.id
    assert len((await client.list_conversions()).conversions) == 1


async def test_files_that_are_tidied_away_before_the_conversion_begins_are_sent_again(client, farm, model):
    upload = client.upload

    async def upload_and_lose(*arguments):
        artifact = await upload(*arguments)
        farm.store.path(artifact.files[0].digest).unlink()
        client.upload = upload
        return artifact

    client.upload = upload_and_lose
    conversion = await client.begin(model, spec("tflite"))
    assert farm.store.missing(file.digest for file in conversion.spec.source.files) == []


async def test_the_farms_reason_and_details_reach_the_caller(client):
    with pytest.raises(ModelmillError) as caught:
        await client.get_conversion("nowhere")
    assert caught.value.reason == "CONVERSION_NOT_FOUND"
    assert caught.value.failure.details == {"id": "nowhere"}
    with pytest.raises(ModelmillError) as caught:
        [message async for message in client.install_environment("nowhere")]
    assert caught.value.reason == "ENVIRONMENT_NOT_FOUND"


async def test_a_connection_is_checked_without_patience(client, farm):
    await client.check_connection()
    await farm.stop()
    with pytest.raises(ModelmillError) as caught:
        await client.check_connection()
    assert caught.value.reason == "SERVER_UNAVAILABLE"


def test_both_clients_have_the_same_methods_with_the_same_parameters():
    def methods(kind):
        public = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(method).parameters for name, method in public if not name.startswith("_")}

    assert methods(Client) == methods(AsyncClient)


async def test_the_blocking_client_does_the_same(farm, model, tmp_path):
    def work():
        events = []
        with Client(farm.address) as client:
            conversion = client.convert(model, spec("tflite"), tmp_path / "out", events.append)
            assert client.get_conversion(conversion.id).state == conversion.state
            assert [event.sequence for event in client.watch_conversion(conversion.id)] == list(range(1, 8))
            told = [message.message for message in client.install_environment("base")]
            assert told == ["base: unpacking", "base: It works: imports, freezes", ""]
            assert [target.name for target in client.list_targets()] == ["tflite"]
            with pytest.raises(ModelmillError):
                client.get_conversion("nowhere")
        return events

    before = threading.active_count()
    assert len(await asyncio.to_thread(work)) == 7
    assert not [thread for thread in threading.enumerate() if thread.name == "modelmill-client"], before
    assert names(tmp_path / "out" / "tflite") == names(model)


async def test_leaving_several_installations_early_gives_all_up(farm):
    farm.catalog.held = {"base", "tf-1.10"}

    def work():
        with (
            Client(farm.address) as client,
            closing(client.install_environments(["base", "tf-1.10", "tf-2.15"], 2)) as told,
        ):
            return {next(told)[0], next(told)[0]}

    assert await asyncio.to_thread(work) == {"base", "tf-1.10"}
    await asyncio.wait_for(farm.catalog.at_rest.wait(), 30)
    assert sorted(farm.catalog.given_up) == ["base", "tf-1.10"]


async def test_leaving_a_blocking_watch_early_ends_it(farm, model):
    farm.conversions.hold.clear()

    def work():
        with Client(farm.address) as client:
            conversion = client.begin(model, spec("tflite"))
            for event in client.watch_conversion(conversion.id):
                if event.sequence == 2:
                    break
            return client.cancel_conversion(conversion.id).state

    assert await asyncio.to_thread(work) == conversion_pb2.Conversion.CANCELLED
