import asyncio
import os
import stat

import pytest
from modelmill.client import AsyncClient, Patience, artifact_pb2, uploading
from modelmill.errors import ModelmillError

MIB = 1 << 20


def tree(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


async def test_what_was_uploaded_can_be_downloaded(client, model, tmp_path):
    artifact = await client.upload(model)
    await client.download(artifact, tmp_path / "back")

    assert tree(tmp_path / "back") == tree(model)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["back", "model"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "back" / "graph.pb").stat().st_mode) == 0o666 & ~umask


async def test_only_what_is_missing_is_sent(client, model):
    moved = []
    await client.upload(model, on_transfer=moved.append)
    assert moved[-1].done == moved[-1].total == 9 * MIB + 1000
    moved.clear()
    (model / "more").write_bytes(b"12345")

    artifact = await client.upload(model, on_transfer=moved.append)

    assert {(transfer.done, transfer.total) for transfer in moved} == {(5, 5)}
    assert len(artifact.files) == 4


async def test_two_files_of_equal_bytes_are_sent_once(client, farm, tmp_path):
    (tmp_path / "twins").mkdir()
    for name in "ab":
        (tmp_path / "twins" / name).write_bytes(b"same")
    artifact = await client.upload(tmp_path / "twins")
    assert len({file.digest for file in artifact.files}) == 1
    assert [file.path for file in artifact.files] == ["a", "b"]


async def test_an_upload_that_the_server_cuts_goes_on_where_it_was(farm, client, model):
    restarted = []

    def restart(transfer):
        if transfer.done > 6 * MIB and not restarted:
            restarted.append(asyncio.create_task(farm.stop()))
            restarted[0].add_done_callback(lambda _: restarted.append(asyncio.create_task(farm.start())))

    sent = []

    def note(transfer):
        sent.append(transfer.done)
        restart(transfer)

    artifact = await client.upload(model, on_transfer=note)

    assert restarted
    assert farm.store.missing(file.digest for file in artifact.files) == []


async def test_an_upload_begun_by_another_client_is_resumed(farm, client, model):
    weights = model / "variables" / "weights"
    artifact = await client.upload(weights)
    digest = artifact.files[0].digest
    farm.store.path(digest).unlink()
    (farm.store.folder / "uploads" / digest).write_bytes(weights.read_bytes()[: 8 * MIB])
    moved = []

    await client.upload(weights, on_transfer=moved.append)

    assert moved[0].done > 8 * MIB
    assert farm.store.has(digest)


async def test_a_damaged_beginning_is_sent_anew(farm, client, model):
    weights = model / "variables" / "weights"
    digest = (await client.upload(weights)).files[0].digest
    farm.store.path(digest).unlink()
    (farm.store.folder / "uploads" / digest).write_bytes(bytes(8 * MIB))

    await client.upload(weights)

    assert farm.store.has(digest)


@pytest.mark.parametrize(("size", "reason"), [(5 * MIB, "SOURCE_CHANGED"), (10 * MIB, "DIGEST_MISMATCH")])
async def test_a_file_that_changes_while_it_is_uploaded_is_refused(client, model, monkeypatch, size, reason):
    weights = model / "variables" / "weights"
    hashed = uploading._hash

    def hash_then_change(file):
        local = hashed(file)
        file.write_bytes(os.urandom(size))
        return local

    monkeypatch.setattr(uploading, "_hash", hash_then_change)
    with pytest.raises(ModelmillError) as caught:
        await client.upload(weights)
    assert caught.value.reason == reason


async def test_a_download_that_the_server_cuts_goes_on_where_it_was(farm, client, model, tmp_path):
    artifact = await client.upload(model)
    restarts = []

    async def restart():
        await farm.stop()
        await farm.start()

    def note(transfer):
        if transfer.done > 3 * MIB and not restarts:
            restarts.append(asyncio.create_task(restart()))

    await client.download(artifact, tmp_path / "back", note)

    assert restarts
    assert tree(tmp_path / "back") == tree(model)


async def test_a_download_takes_the_place_of_what_was_there(client, model, tmp_path):
    artifact = await client.upload(model)
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "old").touch()
    await client.download(artifact, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(model)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["back", "model"]


async def test_damaged_bytes_are_refused_and_nothing_is_left(farm, client, model, tmp_path):
    artifact = await client.upload(model)
    place = farm.store.path(artifact.files[-1].digest)
    place.chmod(0o644)
    place.write_bytes(bytes(place.stat().st_size))

    with pytest.raises(ModelmillError) as caught:
        await client.download(artifact, tmp_path / "new" / "back")

    assert caught.value.reason == "DIGEST_MISMATCH"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


async def test_a_file_that_the_farm_has_lost_is_named_and_nothing_is_left(client, tmp_path):
    artifact = artifact_pb2.Artifact(files=[artifact_pb2.File(path="x", digest="ab" * 32, size=3)])
    with pytest.raises(ModelmillError) as caught:
        await client.download(artifact, tmp_path / "back")
    assert caught.value.reason == "FILE_NOT_FOUND"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "", "a\\..\\b", "a\0b"])
async def test_a_server_cannot_write_outside_the_folder(client, model, tmp_path, path):
    artifact = await client.upload(model / "graph.pb")
    artifact.files[0].path = path
    with pytest.raises(ModelmillError) as caught:
        await client.download(artifact, tmp_path / "back")
    assert caught.value.reason == "INVALID_ARTIFACT"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


async def test_an_output_folder_that_is_a_file_is_told(client, model):
    artifact = await client.upload(model)
    with pytest.raises(ModelmillError) as caught:
        await client.download(artifact, model / "graph.pb" / "back")
    assert caught.value.reason == "OUTPUT_UNWRITABLE"


async def test_a_cancelled_download_leaves_nothing(client, model, tmp_path):
    artifact = await client.upload(model)
    begun = asyncio.Event()
    task = asyncio.create_task(client.download(artifact, tmp_path / "back", lambda _: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


async def test_a_server_that_is_not_there_is_told_when_patience_ends(tmp_path, model):
    async with AsyncClient(f"unix:{tmp_path}/nobody", Patience(first=0.01, total=0.05)) as client:
        with pytest.raises(ModelmillError) as caught:
            await client.upload(model)
    assert caught.value.reason == "SERVER_UNAVAILABLE"
