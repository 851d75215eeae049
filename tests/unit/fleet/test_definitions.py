import json
import re
from pathlib import Path

import pytest
from modelmill.errors import ModelmillError
from modelmill.fleet.definitions import definitions_folder, load_definitions
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

GOOD = """
summary = "One"
python = "3.11"
imports = ["grpc"]
[provides]
tensorflow = "2.15.1"
[variables]
A = "1"
"""


HASH = "    --hash=sha256:" + 64 * "0" + "\n"
LOCK = "--only-binary :all:\n\ngrpcio==1.0 \\\n" + HASH


def define(folder, name="one", text=GOOD, lock=LOCK):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "environment.toml").write_text(text)
    if lock is not None:
        (folder / name / "requirements.txt").write_text(lock)
    return folder


def test_reads_a_definition(tmp_path):
    (tmp_path / "smoke").mkdir()
    definition = load_definitions(define(tmp_path))["one"]
    assert (definition.name, definition.python, definition.imports) == ("one", "3.11", ("grpc",))
    assert definition.provides == {"tensorflow": "2.15.1"}
    assert definition.variables == {"A": "1"}
    assert definition.graph_def_producer is None
    assert definition.defect is None
    assert definition.lock == tmp_path / "one" / "requirements.txt"
    assert definition.build_constraints is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("summary = ", "Invalid value"),
        (GOOD.replace('summary = "One"', ""), "'summary' is a required property"),
        (GOOD.replace('"3.11"', '"three"'), "python: 'three' does not match"),
        (GOOD.replace('"2.15.1"', "2.15"), "provides.tensorflow: 2.15 is not of type 'string'"),
        ('sumary = "typo"\n' + GOOD, "'sumary' was unexpected"),
    ],
)
def test_says_which_file_is_wrong_and_how(tmp_path, text, said):
    defect = load_definitions(define(tmp_path, text=text))["one"].defect
    assert defect.reason == "ENVIRONMENT_DEFINITION_INVALID"
    assert said in defect.message
    assert str(tmp_path / "one" / "environment.toml") in defect.message


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        ("grpcio==1.0\n", "line 1 is neither an option nor a package pinned with hashes: 'grpcio==1.0'"),
        ("# ours\n\ngrpcio>=1.0 \\\n" + HASH, "line 3 is neither"),
        (LOCK + "six==1.0 \\\n    --hash=sha256:0123\n", "line 5 is neither"),
        (LOCK + "<html>not found</html>\n", "line 5 is neither"),
        (LOCK + "six==1.0 \\\n", "line 5 is neither"),
        (b"\xff\xfe\x00", "can't decode byte"),
    ],
)
def test_a_lock_that_is_none_makes_no_definition(tmp_path, lock, said):
    define(tmp_path, lock=None)
    file = tmp_path / "one" / "requirements.txt"
    file.write_bytes(lock if isinstance(lock, bytes) else lock.encode())
    definition = load_definitions(tmp_path)["one"]
    assert definition.defect.reason == "ENVIRONMENT_DEFINITION_INVALID"
    assert f"{file} cannot be used" in definition.defect.message
    assert said in definition.defect.message
    assert "workers/environments/lock one" in definition.defect.message
    assert definition.provides == {"tensorflow": "2.15.1"}


def test_names_the_command_that_makes_a_missing_lock(tmp_path):
    defect = load_definitions(define(tmp_path, lock=None))["one"].defect
    assert "workers/environments/lock one" in defect.message


def test_a_defect_of_one_leaves_the_others_whole(tmp_path):
    define(tmp_path, "good")
    pin = "tensorflow-cpu==2.4.4 \\\n" + HASH
    define(tmp_path, "bad", text="summary = ", lock=LOCK + pin)
    definitions = load_definitions(tmp_path)
    assert definitions["good"].defect is None
    assert definitions["bad"].defect is not None
    assert definitions["bad"].provides == {"tensorflow": "2.4.4"}


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: define(folder, lock=LOCK.replace("1.0", "2.0")),
        lambda folder: define(folder, text=GOOD.replace("3.11", "3.12")),
        lambda folder: define(folder, text=GOOD.replace('A = "1"', 'A = "2"')),
        lambda folder: (folder / "one" / "build-constraints.txt").write_text("setuptools==1 \\\n" + HASH),
    ],
)
def test_the_digest_changes_with_what_results_depend_on(tmp_path, change):
    before = load_definitions(define(tmp_path))["one"].digest
    change(tmp_path)
    assert load_definitions(tmp_path)["one"].digest != before


def test_the_digest_stays_when_only_words_change(tmp_path):
    before = load_definitions(define(tmp_path))["one"].digest
    define(tmp_path, text=GOOD.replace("One", "Another"))
    assert load_definitions(tmp_path)["one"].digest == before


def test_looks_where_the_variable_says(tmp_path):
    assert definitions_folder({"MODELMILL_ENVIRONMENTS": str(tmp_path)}) == tmp_path.resolve()
    with pytest.raises(ModelmillError) as caught:
        definitions_folder({"MODELMILL_ENVIRONMENTS": str(tmp_path / "none")})
    assert caught.value.reason == "ENVIRONMENTS_NOT_FOUND"


OURS = load_definitions(definitions_folder({}))


def pins(lock: Path) -> dict[str, str]:
    return {
        canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", lock.read_text())
    }


def requirements(file: Path) -> list[Requirement]:
    lines = file.read_text().splitlines() if file.exists() else []
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def test_has_the_environments_of_the_demo():
    assert not [definition.defect for definition in OURS.values() if definition.defect]
    assert {"base", "tf-1.15", "tf-2.15", "tfjs-4"} <= set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_our_locks_hash_every_package_and_name_no_host(name):
    locks = [OURS[name].lock, *filter(None, [OURS[name].build_constraints])]
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        entries = re.split(r"(?m)^(?=[\w.-]+==)", text)[1:]
        assert len(entries) == len(pins(lock)) > 0
        for entry in entries:
            assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry
        options = {line for line in text.splitlines() if line.startswith("--")}
        wanted = OURS[name].folder / "requirements.in"
        from_source = {line for line in wanted.read_text().splitlines() if line.startswith("--no-binary")}
        assert options <= {"--only-binary :all:"} | from_source


@pytest.mark.parametrize("name", OURS)
def test_our_locks_have_what_is_wanted_and_nothing_that_is_not(name):
    folder = OURS[name].folder
    locked = pins(OURS[name].lock)
    for requirement in requirements(folder / "requirements.in"):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement
    for override in requirements(folder / "overrides.txt"):
        package = canonicalize_name(override.name)
        if override.marker is None or override.marker.evaluate():
            assert override.specifier.contains(locked[package]), override
        else:
            assert package not in locked


@pytest.mark.parametrize("name", OURS)
def test_what_is_provided_is_what_is_locked(name):
    locked = pins(OURS[name].lock)
    for package, version in OURS[name].provides.items():
        if package == "tfjs-node":  # TensorFlow.js is a Node package; its parts move together
            locked[package] = node_pins(OURS[name])["@tensorflow/tfjs-core"]
        assert version in {locked.get(package), locked.get(f"{package}-cpu")}


def node_pins(definition):
    lock = json.loads(definition.node_manifests[1].read_text())
    return {name.removeprefix("node_modules/"): package["version"] for name, package in lock["packages"].items()}


@pytest.mark.parametrize("name", [name for name, definition in OURS.items() if definition.node is not None])
def test_a_node_lock_names_versions_and_checksums_and_no_host(name):
    manifest, lock = (json.loads(file.read_text()) for file in OURS[name].node_manifests)
    assert node_pins(OURS[name]).items() >= manifest["dependencies"].items()
    packages = [package for path, package in lock["packages"].items() if path]
    assert all("integrity" in package and "resolved" not in package for package in packages)
