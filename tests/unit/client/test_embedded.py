"""The embedded coordinator's life, with a small real server in a process of its own in the coordinator's place."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from modelmill.client import Client, embedded
from modelmill.errors import ModelmillError
from modelmill.settings import Settings

_SERVER = """
import asyncio, json, os, signal, sys
import grpc
from grpc_health.v1 import health, health_pb2_grpc
from modelmill.settings import load
from modelmill_protos.v1 import conversion_pb2, conversion_pb2_grpc

class Conversions(conversion_pb2_grpc.ConversionServiceServicer):
    async def ListConversions(self, request, context):
        busy = (load().home / "busy").exists() and request.filter == "state=RUNNING"
        return conversion_pb2.ListConversionsResponse(conversions=[conversion_pb2.Conversion(id="x")] * busy)

async def main(address):
    state = load().state
    (load().home / "starts").open("a").write(f"{os.getpid()}\\n")
    if (load().home / "broken").exists():
        sys.exit("no journal, no coordinator")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server()
    conversion_pb2_grpc.add_ConversionServiceServicer_to_server(Conversions(), server)
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    server.add_insecure_port(address)
    await server.start()
    (state / "beside").write_text(json.dumps({"pid": os.getpid(), "address": address, "version": load().version}))
    (state / "beside").replace(state / "coordinator.json")
    await stop.wait()
    await server.stop(None)

asyncio.run(main(sys.argv[-1]))
"""


@pytest.fixture
def command(tmp_path):
    script = tmp_path / "server.py"
    script.write_text(textwrap.dedent(_SERVER))
    return (sys.executable, str(script))


@pytest.fixture
def settings(tmp_path):
    settings = Settings(home=tmp_path / "home")
    yield settings
    for pid in starts(settings):
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def starts(settings):
    file = settings.home / "starts"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def is_gone(pid):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_is_started_once_and_found_again(settings, command):
    first = embedded.ensure(settings, command)
    second = embedded.ensure(settings, command)

    assert (first.started, second.started) == (True, False)
    assert first.pid == second.pid
    assert starts(settings) == [first.pid]
    with Client(second.address) as client:
        client.check_connection()


def test_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(settings, command):
    assert os.getsid(embedded.ensure(settings, command).pid) != os.getsid(0)


def test_its_folder_is_for_nobody_else(settings, command):
    embedded.ensure(settings, command)
    assert settings.state.stat().st_mode & 0o777 == 0o700


def test_two_commands_that_start_at_once_start_one(settings, command):
    program = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from modelmill.client import embedded
        from modelmill.settings import Settings
        print(embedded.ensure(Settings(home=Path({str(settings.home)!r})), {command!r}).pid)
        """
    )
    commands = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    pids = {int(process.communicate(timeout=60)[0]) for process in commands}
    assert pids == set(starts(settings))
    assert len(pids) == 1


def test_one_that_was_killed_is_started_anew(settings, command):
    first = embedded.ensure(settings, command)
    os.kill(first.pid, signal.SIGKILL)
    assert is_gone(first.pid)
    assert embedded.ensure(settings, command).started


def test_one_with_other_settings_is_replaced(settings, command):
    first = embedded.ensure(settings, command)
    second = embedded.ensure(replace(settings, slots=7), command)
    assert second.started
    assert is_gone(first.pid)


def test_one_with_other_settings_is_used_while_it_works(settings, command):
    first = embedded.ensure(settings, command)
    (settings.home / "busy").touch()
    assert embedded.ensure(replace(settings, slots=7), command).pid == first.pid


def test_one_with_other_code_is_replaced(settings, command):
    first = embedded.ensure(settings, command)
    started = settings.state / "started.json"
    started.write_text(json.dumps({**json.loads(started.read_text()), "fingerprint": "of other code"}))
    assert embedded.ensure(settings, command).pid != first.pid


def test_one_that_somebody_started_by_other_means_is_used(settings, command):
    first = embedded.ensure(settings, command)
    (settings.state / "started.json").unlink()
    assert embedded.ensure(settings, command).pid == first.pid


def test_one_that_cannot_start_is_told_with_the_end_of_its_log(settings, command):
    settings.home.mkdir()
    (settings.home / "broken").touch()
    with pytest.raises(ModelmillError) as caught:
        embedded.ensure(settings, command)
    assert caught.value.reason == "COORDINATOR_NOT_STARTED"
    assert "no journal, no coordinator" in caught.value.failure.log_tail


def test_is_ended_when_it_is_idle_and_only_then(settings, command):
    coordinator = embedded.ensure(settings, command)
    (settings.home / "busy").touch()
    assert not embedded.end_if_idle(coordinator)
    (settings.home / "busy").unlink()
    assert embedded.end_if_idle(coordinator)
    assert is_gone(coordinator.pid)


def test_a_process_that_has_only_inherited_the_number_is_left_alone(settings, command):
    coordinator = embedded.ensure(settings, command)
    embedded._end(replace(coordinator, born=coordinator.born + 1))
    os.kill(coordinator.pid, 0)


def test_a_home_with_a_long_path_gets_a_private_folder_for_its_socket(tmp_path, command):
    settings = Settings(home=tmp_path / ("x" * 120))
    coordinator = embedded.ensure(settings, command)
    try:
        folder = Path(coordinator.address.removeprefix("unix:")).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not folder.is_relative_to(settings.home)
    finally:
        embedded.end_if_idle(coordinator)
        settings.socket.unlink(missing_ok=True)
        settings.socket.parent.rmdir()


def test_a_socket_folder_that_is_a_link_is_refused(tmp_path, command):
    settings = Settings(home=tmp_path / ("y" * 120))
    (tmp_path / "elsewhere").mkdir()
    settings.socket.parent.symlink_to(tmp_path / "elsewhere")
    try:
        with pytest.raises(ModelmillError) as caught:
            embedded.ensure(settings, command)
    finally:
        settings.socket.parent.unlink()
    assert caught.value.reason == "SOCKET_FOLDER_UNSAFE"
