import platform
import sys
import threading

import pytest
from modelmill.errors import Fault, ModelmillError
from modelmill.fleet.definitions import load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="environments are for 64-bit x86")

#: Stands for uv where an environment holds nothing but its Python.
UV_OF_EMPTY_ENVIRONMENTS = f"""
echo "$@" >> "$(dirname "$0")/calls"
case "$1" in
  venv) shift; for last; do case "$last" in /*) folder="$last";; esac; done
        mkdir -p "$folder/bin"; ln -s {sys.executable} "$folder/bin/python"; echo "Creating virtual environment";;
  pip) echo "warning: never mind"; echo "Resolved 1 package in 1ms"
       echo " + one==1"; echo "Installed 1 package in 1ms";;
  *) exit 2;;
esac
"""


@pytest.fixture
def environments(tmp_path):
    """Makes Environments with one environment `one`; the defaults import what every Python has."""

    def make(
        python: str = RUNNING, imports: str = '"json", "zlib"', provides: str = "", lock: str = ""
    ) -> Environments:
        folder = tmp_path / "definitions" / "one"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "environment.toml").write_text(
            f'summary = "One"\npython = "{python}"\nimports = [{imports}]\n[provides]\n{provides}\n'
        )
        (folder / "requirements.txt").write_text(lock)
        return Environments(Settings(home=tmp_path / "home"), load_definitions(tmp_path / "definitions"))

    return make


def refusal(environments: Environments) -> ModelmillError:
    with pytest.raises(ModelmillError) as caught:
        environments.ensure("one", lambda message: None)
    assert caught.value.failure.fault is Fault.INFRASTRUCTURE
    assert environments.status("one").availability is not Availability.INSTALLED
    return caught.value


def test_installs_once_and_tells_what_matters(environments, uv_is, tmp_path):
    uv_is(UV_OF_EMPTY_ENVIRONMENTS)
    some = environments()
    assert some.status("one").availability is Availability.INSTALLABLE
    told: list[str] = []
    installed = some.ensure("one", told.append)
    assert installed.python.exists()
    assert told == [
        f"one: Installing with Python {RUNNING}",
        "one: Resolved 1 package in 1ms",
        "one: Installed 1 package in 1ms",
        "one: Importing json, zlib",
    ]
    status = some.status("one")
    assert (status.availability, status.path) == (Availability.INSTALLED, str(installed.path))
    told.clear()
    assert some.ensure("one", told.append) == installed
    assert told == []
    calls = (tmp_path / "scripts" / "calls").read_text()
    assert calls.count("pip sync --strict --require-hashes") == 1


def test_says_what_uv_said_when_it_fails(environments, uv_is, tmp_path):
    uv_is('[ "$1" = venv ] || { echo "error: the index is on fire" >&2; exit 2; }\n')
    some = environments()
    error = refusal(some)
    assert error.reason == "ENVIRONMENT_INSTALL_FAILED"
    assert "the index is on fire" in error.failure.log_tail
    assert error.failure.details == {"environment": "one", "exit_code": 2, "why": "the index is on fire"}
    assert "uv could not install one (the index is on fire)" in str(error)
    assert [path.suffix for path in (tmp_path / "home" / "environments").iterdir()] == [".lock"]


def test_one_that_failed_is_planned_round_for_a_while_and_can_be_tried_again(environments, uv_is, monkeypatch):
    uv_is('echo "error: the index is on fire" >&2; exit 2\n')
    some = environments()
    refusal(some)
    status = some.status("one")
    assert status.availability is Availability.UNAVAILABLE
    assert "failed a moment ago: uv could not install one (the index is on fire)" in status.unavailable_reason

    uv_is(UV_OF_EMPTY_ENVIRONMENTS)
    some.ensure("one", lambda message: None)
    assert some.status("one").availability is Availability.INSTALLED

    uv_is("exit 2\n")
    other = environments(lock="# another\n")
    refusal(other)
    monkeypatch.setattr("modelmill.fleet.installation._REMEMBERED_SECONDS", -1.0)
    assert other.status("one").availability is Availability.INSTALLABLE


def test_an_invalid_definition_is_shown_and_refused(environments, tmp_path):
    environments()
    (tmp_path / "definitions" / "one" / "environment.toml").write_text("summary = ")
    some = Environments(Settings(home=tmp_path / "home"), load_definitions(tmp_path / "definitions"))
    status = some.status("one")
    assert status.availability is Availability.UNAVAILABLE
    assert "environment.toml cannot be used" in status.unavailable_reason
    with pytest.raises(ModelmillError) as caught:
        some.ensure("one", print)
    assert caught.value.reason == "ENVIRONMENT_DEFINITION_INVALID"


def test_an_installation_ends_when_its_tools_are_closed(environments, uv_is, tmp_path, wait_until):
    uv_is(f"mkdir -p {tmp_path}/home/environments; touch {tmp_path / 'begun'}; sleep 1000\n")
    some = environments()
    caught: list[ModelmillError] = []

    def install() -> None:
        try:
            some.ensure("one", lambda message: None, tools)
        except ModelmillError as error:
            caught.append(error)

    with some.tools() as tools:
        thread = threading.Thread(target=install)
        thread.start()
        wait_until((tmp_path / "begun").exists)
    thread.join(60)
    assert not thread.is_alive()
    assert len(caught) == 1
    assert some.status("one").availability is Availability.INSTALLABLE
    uv_is(UV_OF_EMPTY_ENVIRONMENTS)
    some.ensure("one", lambda message: None)  # the others are still open
    assert some.disk_size() == some.status("one").disk_size


def test_names_a_full_disk(environments, uv_is):
    uv_is('echo "error: No space left on device (os error 28)" >&2; exit 2\n')
    assert refusal(environments()).reason == "DISK_FULL"


def test_an_environment_that_does_not_import_is_not_installed(environments, uv_is):
    uv_is(UV_OF_EMPTY_ENVIRONMENTS)
    error = refusal(environments(imports='"json", "no_such_module"'))
    assert error.reason == "ENVIRONMENT_BROKEN"
    assert "No module named 'no_such_module'" in error.failure.log_tail


def test_an_environment_that_promises_another_version_is_not_installed(environments, uv_is):
    uv_is(UV_OF_EMPTY_ENVIRONMENTS)
    error = refusal(environments(imports='"json"', provides='json = "99"'))
    assert error.reason == "ENVIRONMENT_BROKEN"
    assert "it claims json 99 and has 2.0.9" in str(error)


def test_without_its_python_it_is_unavailable(environments, uv_is, monkeypatch, tmp_path):
    uv_is("exit 2\n")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    some = environments(python="3.1")
    status = some.status("one")
    assert status.availability is Availability.UNAVAILABLE
    assert "there is no 64-bit x86 CPython 3.1" in status.unavailable_reason
    error = refusal(some)
    assert error.reason == "ENVIRONMENT_UNAVAILABLE"
    assert "pyenv install 3.1" in str(error)


def test_an_unknown_name_is_answered_with_the_known(environments):
    for ask in (environments().status, environments().remove, lambda name: environments().ensure(name, print)):
        with pytest.raises(ModelmillError, match="no environment 'two'; there are one") as caught:
            ask("two")
        assert caught.value.reason == "ENVIRONMENT_UNKNOWN"


def test_is_not_removed_while_another_process_uses_it(environments, uv_is, tmp_path):
    uv_is(UV_OF_EMPTY_ENVIRONMENTS)
    one, other = environments(), environments()
    installed = one.ensure("one", lambda message: None)
    other.ensure("one", lambda message: None)
    with pytest.raises(ModelmillError) as caught:
        one.remove("one")
    assert caught.value.reason == "ENVIRONMENT_IN_USE"
    assert installed.python.exists()
    other.close()
    one.remove("one")
    assert one.status("one").availability is Availability.INSTALLABLE
    assert list((tmp_path / "home" / "environments").iterdir()) == []


def test_removes_the_installations_of_earlier_locks_too(environments, uv_is, tmp_path):
    uv_is(UV_OF_EMPTY_ENVIRONMENTS)
    before = environments()
    before.ensure("one", lambda message: None)
    before.close()
    after = environments(lock="# another\n")
    after.ensure("one", lambda message: None)
    installed = tmp_path / "home" / "environments"
    assert len([path for path in installed.iterdir() if path.is_dir()]) == 2
    after.remove("one")
    assert list(installed.iterdir()) == []


def test_an_environment_whose_python_is_gone_is_installed_anew(environments, uv_is):
    """As after an upgrade of the system's Python, which leaves a link to nothing."""
    uv_is(UV_OF_EMPTY_ENVIRONMENTS)
    some = environments()
    python = some.ensure("one", lambda message: None).python
    some.close()
    python.unlink()
    python.symlink_to("/nowhere/python")
    again = environments()
    assert again.status("one").availability is Availability.INSTALLABLE
    assert again.ensure("one", lambda message: None).python.exists()


def test_close_ends_an_installation(environments, uv_is, tmp_path, wait_until):
    uv_is(f"touch {tmp_path / 'begun'}; sleep 1000\n")
    some = environments()
    caught: list[ModelmillError] = []

    def install() -> None:
        try:
            some.ensure("one", lambda message: None)
        except ModelmillError as error:
            caught.append(error)

    thread = threading.Thread(target=install)
    thread.start()
    wait_until((tmp_path / "begun").exists)
    some.close()
    thread.join(60)
    assert [error.reason for error in caught] == ["COORDINATOR_STOPPED"]


def test_uv_gets_the_users_index_and_not_what_changes_the_lock(environments, uv_is, tmp_path, monkeypatch):
    uv_is(f"env >> {tmp_path / 'seen'}; pwd >> {tmp_path / 'seen'}; exit 2\n")
    for name in ("UV_DEFAULT_INDEX", "HTTPS_PROXY", "UV_CACHE_DIR", "UV_OVERRIDE", "UV_NO_VERIFY_HASHES", "PYTHONPATH"):
        monkeypatch.setenv(name, "told")
    refusal(environments())
    seen = (tmp_path / "seen").read_text().splitlines()
    assert {"UV_DEFAULT_INDEX=told", "HTTPS_PROXY=told", "UV_CACHE_DIR=told", "/"} <= set(seen)
    assert not [line for line in seen if line.startswith(("UV_OVERRIDE", "UV_NO_VERIFY", "PYTHONPATH"))]
