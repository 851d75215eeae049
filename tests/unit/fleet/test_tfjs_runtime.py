import json

import pytest
from modelmill.errors import ModelmillError
from modelmill.fleet.tfjs_runtime import TfjsRuntime
from modelmill.settings import Settings

NPM_THAT_INSTALLS = 'mkdir node_modules && echo "$PWD $*" >> "$(dirname "$0")/calls"\n'


@pytest.fixture
def code(tmp_path):
    folder = tmp_path / "code" / "modelmill_verifier" / "tfjs_runtime"
    folder.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_text(json.dumps({"name": "x"}))
    return tmp_path / "code"


@pytest.fixture
def runtime(tmp_path):
    (tmp_path / "scripts").mkdir(exist_ok=True)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "mkdir", "dirname", "echo"):
        (tools / name).symlink_to(f"/bin/{name}" if name != "dirname" else "/usr/bin/dirname")

    def make() -> TfjsRuntime:
        return TfjsRuntime(Settings(home=tmp_path / "home"), {"PATH": f"{tmp_path / 'scripts'}:{tools}"})

    return make


def test_installs_once_without_scripts(runtime, code, script, tmp_path):
    script("node", "echo v20.1.0\n")
    script("npm", NPM_THAT_INSTALLS)
    told: list[str] = []
    first = runtime().ensure(code, told.append)
    assert first.missing == ""
    assert first.path is not None
    assert first.path.is_dir()
    assert first.path.name == "node_modules"
    assert runtime().ensure(code, told.append) == first
    assert told == ["Installing TensorFlow.js for Node"]
    calls = (tmp_path / "scripts" / "calls").read_text().splitlines()
    assert len(calls) == 1
    assert calls[0].startswith(f"{first.path.parent} ci --ignore-scripts")


def test_another_lock_is_another_folder(runtime, code, script):
    script("node", "echo v20.1.0\n")
    script("npm", NPM_THAT_INSTALLS)
    first = runtime().ensure(code, lambda message: None)
    (code / "modelmill_verifier" / "tfjs_runtime" / "package-lock.json").write_text("{}")
    assert runtime().ensure(code, lambda message: None).path != first.path


@pytest.mark.parametrize(
    ("node", "npm", "said"),
    [
        (None, None, "no Node on PATH"),
        ("echo v16.20.2\n", NPM_THAT_INSTALLS, "is version 16: install Node 18 or newer"),
        ("exit 1\n", NPM_THAT_INSTALLS, "is version 0"),
        ("echo v18.0.0\n", None, "no npm on PATH"),
        ("echo v18.0.0\n", "echo 'npm error code ENOTFOUND'; exit 1\n", "npm error code ENOTFOUND"),
    ],
)
def test_says_what_is_missing(runtime, code, script, node, npm, said):
    if node:
        script("node", node)
    if npm:
        script("npm", npm)
    told = runtime().ensure(code, lambda message: None)
    assert told.path is None
    assert said in told.missing


def test_a_verifier_without_node_packages_is_told(runtime, tmp_path):
    assert "brings no TensorFlow.js" in runtime().ensure(tmp_path, lambda message: None).missing


def test_names_a_full_disk(runtime, code, script, tmp_path):
    script("node", "echo v20.1.0\n")
    script("npm", "mkdir node_modules; echo 'npm error code ENOSPC'; exit 1\n")
    with pytest.raises(ModelmillError) as caught:
        runtime().ensure(code, lambda message: None)
    assert caught.value.reason == "DISK_FULL"
    assert not [path for path in (tmp_path / "home" / "node").iterdir() if path.is_dir()]
