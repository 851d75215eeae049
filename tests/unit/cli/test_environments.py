import asyncio
import json
import signal

import pytest


def lines(text):
    return [line.split() for line in text.splitlines()]


async def test_lists_by_version_with_plugins_and_the_disk(modelmill):
    run = await modelmill("environments", "list")
    assert run.code == 0
    table = lines(run.out)
    assert [line[0] for line in table[2:6]] == ["base", "tf-1.9", "tf-1.10", "tf-2.15"]
    assert table[2] == ["base", "3.11", "installed", "100.0", "MiB", "inspector"]
    assert table[3] == ["tf-1.9", "1.9.0", "3.6", "unavailable", "inspector"]
    assert table[5] == ["tf-2.15", "2.15.1", "3.11", "installed", "1.0", "GiB", "quantizer"]
    assert "unavailable: tf-1.9: there is no CPython 3.6." in run.out
    assert run.out.splitlines()[-1] == (
        "2 of 4 are installed and take 1.0 GiB on the disk, where equal files are stored once; "
        "apart they would take 1.1 GiB."
    )


async def test_a_list_as_json_has_everything(modelmill):
    told = json.loads((await modelmill("environments", "list", "--json")).out)
    assert told["environments"][3]["plugins"] == {"quantizer": ["convert"], "inspector": ["inspect"]}
    assert told["environments"][1]["unavailable_reason"] == "there is no CPython 3.6."
    assert (told["disk_size"], told["disk_size_apart"]) == (str(1 << 30), str((1 << 30) + (100 << 20)))


async def test_a_list_installs_nothing_to_learn_of_the_plugins(modelmill, farm):
    farm.catalog.environments["base"].state = 2  # INSTALLABLE
    run = await modelmill("environments", "list")
    assert "plug-ins" not in run.out
    assert "quantizer" not in run.out


async def test_installs_several_at_once_and_tells_of_each(modelmill, farm):
    run = await modelmill("environments", "install", "tf-2.15", "tf-1.10", "--jobs", "2")
    assert run.code == 0, run.err
    assert farm.catalog.most_at_work == 2
    table = lines(run.out)
    assert [line[:3] for line in table[2:]] == [["tf-2.15", "2.15.1", "installed"], ["tf-1.10", "1.10.1", "installed"]]
    assert {"tf-2.15: unpacking", "tf-1.10: unpacking"} <= set(run.err.splitlines())


async def test_no_more_at_once_than_asked_for(modelmill, farm):
    await modelmill("environments", "install", "base", "tf-2.15", "tf-1.10", "--jobs", "1")
    assert farm.catalog.most_at_work == 1


async def test_one_that_fails_does_not_stop_the_others(modelmill):
    run = await modelmill("environments", "install", "tf-1.9", "nowhere", "base")
    assert run.code == 1
    assert "error ENVIRONMENT_UNAVAILABLE: there is no CPython 3.6." in run.err
    assert "error ENVIRONMENT_NOT_FOUND: There is no such environment." in run.err
    table = lines(run.out)
    assert [line[0] for line in table[2:]] == ["tf-1.9", "nowhere", "base"]
    assert "installed" in table[4]


async def test_all_leaves_out_what_this_machine_cannot_have(modelmill):
    run = await modelmill("environments", "install", "--all")
    assert run.code == 0, run.err
    assert [line[0] for line in lines(run.out)[2:]] == ["base", "tf-1.9", "tf-1.10", "tf-2.15"]
    assert lines(run.out)[3][:3] == ["tf-1.9", "left", "out"]
    assert "left out: there is no CPython 3.6." in run.err


async def test_outcomes_as_json(modelmill):
    run = await modelmill("environments", "install", "tf-1.9", "base", "--json")
    assert run.code == 1
    told = json.loads(run.out)
    assert [item["name"] for item in told["environments"]] == ["base"]
    assert told["failures"]["tf-1.9"]["reason"] == "ENVIRONMENT_UNAVAILABLE"
    assert set(told["seconds"]) == {"tf-1.9", "base"}


async def test_checks_all_that_are_installed_and_says_what_was_found(modelmill):
    run = await modelmill("environments", "check", "--all")
    assert run.code == 0, run.err
    table = run.out.splitlines()
    assert [line.split()[0] for line in table[2:]] == ["base", "tf-2.15"]
    assert table[3].endswith("imports, freezes")
    assert " works " in table[3]


async def test_removes_several_and_tells_which_could_not(modelmill):
    run = await modelmill("environments", "remove", "base", "tf-2.15")
    assert run.code == 1
    assert "error ENVIRONMENT_IN_USE: base is in use." in run.err
    assert lines(run.out)[3][:3] == ["tf-2.15", "2.15.1", "removed"]


@pytest.mark.parametrize("what", ["install", "check", "remove"])
async def test_names_or_all(modelmill, what):
    for arguments in ([], ["base", "--all"]):
        assert (await modelmill("environments", what, *arguments)).code == 2


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_gives_up_all_that_run(modelmill, farm, signum):
    farm.catalog.held = {"tf-1.10", "tf-2.15"}
    process = await modelmill.start("environments", "install", "tf-1.10", "tf-2.15", "base", "--jobs", "2")
    told = set()
    while len(told) < 2:
        told.add(await asyncio.wait_for(process.stderr.readline(), 60))
    process.send_signal(signum)
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert b"Traceback" not in err
    await asyncio.wait_for(farm.catalog.at_rest.wait(), 30)
    assert sorted(farm.catalog.given_up) == ["tf-1.10", "tf-2.15"]
