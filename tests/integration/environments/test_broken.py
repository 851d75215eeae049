"""Environments that are broken on purpose: each is told with its reason, and the others go on."""

import shutil

import pytest
from modelmill.errors import ModelmillError
from modelmill.fleet.import_check import check_imports
from modelmill.fleet.tool_process import ToolProcesses
from modelmill.values import Availability

GARBAGE = "<html>502 Bad Gateway</html>\n"


@pytest.fixture
def good(forge):
    """The lock of one that works, and is there beside the broken one."""
    lock = forge.wheel("tiny")
    forge.define("good", lock)
    return lock


def refusal(environments, name):
    with pytest.raises(ModelmillError) as caught:
        environments.ensure(name, lambda message: None)
    return caught.value


def assert_the_good_one_goes_on(environments):
    environments.ensure("good", lambda message: None)
    assert environments.status("good").availability is Availability.INSTALLED


def test_a_lock_that_is_garbage_is_known_before_anything_is_installed(forge, good):
    forge.define("bad", GARBAGE)
    environments = forge.environments()
    status = environments.status("bad")
    assert status.availability is Availability.UNAVAILABLE
    assert "requirements.txt cannot be used: line 1 is neither an option nor a package" in status.unavailable_reason
    assert refusal(environments, "bad").reason == "ENVIRONMENT_DEFINITION_INVALID"
    assert_the_good_one_goes_on(environments)


def test_a_wrong_hash_is_told_and_planned_round(forge, good):
    forge.define("bad", forge.pin("tiny", "1.0", "0" * 64))
    environments = forge.environments()
    error = refusal(environments, "bad")
    assert error.reason == "ENVIRONMENT_INSTALL_FAILED"
    assert "uv could not install bad (Hash mismatch for `tiny==1.0`)" in str(error)
    assert str(forge.definitions / "bad" / "requirements.txt") in str(error)
    status = environments.status("bad")
    assert status.availability is Availability.UNAVAILABLE
    assert "failed a moment ago" in status.unavailable_reason
    assert_the_good_one_goes_on(environments)


def test_a_pin_that_no_index_has_is_named(forge, good):
    forge.define("bad", good + forge.pin("gone", "9.9.9", "0" * 64))
    environments = forge.environments()
    error = refusal(environments, "bad")
    assert error.reason == "ENVIRONMENT_INSTALL_FAILED"
    assert "gone" in error.failure.details["why"]
    assert error.failure.details["why"] in str(error)
    assert [path.name for path in environments_of(forge)] == []
    assert_the_good_one_goes_on(environments)


def test_an_import_that_fails_is_named(forge, good):
    forge.define("bad", good, imports='"tiny", "tinny"')
    environments = forge.environments()
    error = refusal(environments, "bad")
    assert error.reason == "ENVIRONMENT_BROKEN"
    assert "importing tiny, tinny failed (ModuleNotFoundError: No module named 'tinny')" in str(error)
    assert_the_good_one_goes_on(environments)


def test_another_version_than_promised_is_named(forge, good):
    forge.define("bad", good, provides='tiny = "2.0"')
    error = refusal(forge.environments(), "bad")
    assert error.reason == "ENVIRONMENT_BROKEN"
    assert "it claims tiny 2.0 and has 1.0" in str(error)


def test_a_package_that_was_removed_is_found_by_the_check(forge, good):
    environments = forge.environments()
    installed = environments.ensure("good", lambda message: None)
    tools = ToolProcesses()
    check_imports(tools, installed.definition, installed.python)
    (package,) = installed.path.glob("lib/python*/site-packages/tiny")
    shutil.rmtree(package)
    with pytest.raises(ModelmillError) as caught:
        check_imports(tools, installed.definition, installed.python)
    assert caught.value.reason == "ENVIRONMENT_BROKEN"
    assert "No module named 'tiny'" in str(caught.value)
    assert "modelmill environments remove good" in str(caught.value)


@pytest.mark.parametrize("text", ["summary = ", 'summary = "x"\npython = "2.7"\n', "\0"])
def test_a_definition_that_is_none_is_shown(forge, good, text):
    folder = forge.define("bad", good)
    (folder / "environment.toml").write_text(text)
    environments = forge.environments()
    status = environments.status("bad")
    assert status.availability is Availability.UNAVAILABLE
    assert "environment.toml cannot be used" in status.unavailable_reason
    environments.remove("bad")
    assert_the_good_one_goes_on(environments)


def environments_of(forge):
    folder = forge.home / "environments"
    return [path for path in folder.iterdir() if path.is_dir()] if folder.exists() else []
