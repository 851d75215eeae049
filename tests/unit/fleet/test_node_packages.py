from pathlib import Path

import pytest
from modelmill.errors import ModelmillError
from modelmill.fleet.definitions import EnvironmentDefinition
from modelmill.fleet.node_packages import install_node_packages, missing_node, node_variables
from modelmill.fleet.tool_process import ToolProcesses

NPM_THAT_INSTALLS = 'mkdir -p node_modules/left-pad && echo "module.exports = 1" > node_modules/left-pad/index.js\n'


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Only the tools that a test writes, and those that their shell needs."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tmp_path / "scripts").mkdir(exist_ok=True)
    for name in ("sh", "mkdir", "echo"):
        (tools / name).symlink_to(f"/bin/{name}")
    return {"PATH": f"{tmp_path / 'scripts'}:{tools}"}


@pytest.fixture
def definition(tmp_path: Path) -> EnvironmentDefinition:
    folder = tmp_path / "definition"
    folder.mkdir()
    (folder / "package.json").write_text('{"dependencies": {"left-pad": "1.0.0"}}')
    (folder / "package-lock.json").write_text("{}")
    return EnvironmentDefinition("node-env", folder, "", "3.11", ("grpc",), {}, "d" * 64, node=18)


@pytest.mark.parametrize(
    ("node", "npm", "said"),
    [
        (None, None, "no Node on PATH"),
        ("echo v16.20.2\n", NPM_THAT_INSTALLS, "is version 16: install Node 18 or newer"),
        ("exit 1\n", NPM_THAT_INSTALLS, "is version 0"),
        ("echo v18.0.0\n", None, "no npm on PATH"),
        ("echo v20.1.0\n", NPM_THAT_INSTALLS, ""),
    ],
)
def test_says_what_is_missing(environ, script, node, npm, said) -> None:
    if node:
        script("node", node)
    if npm:
        script("npm", npm)
    missing = missing_node(18, environ)
    assert said in missing
    assert bool(missing) is bool(said)


def install(definition: EnvironmentDefinition, folder: Path, environ: dict[str, str]) -> None:
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        install_node_packages(ToolProcesses(), definition, folder, environ, lock.fileno())


def test_installs_what_the_lock_names_and_loads_it(environ, script, definition, tmp_path) -> None:
    script("npm", NPM_THAT_INSTALLS)
    script("node", 'echo "$2" > asked\n')
    install(definition, tmp_path / "made", environ)
    assert (tmp_path / "made" / "package-lock.json").read_text() == "{}"
    assert '["left-pad"]' in (tmp_path / "made" / "asked").read_text()


def test_tells_what_npm_said(environ, script, definition, tmp_path) -> None:
    script("npm", "echo 'npm error code ENOTFOUND'; exit 1\n")
    with pytest.raises(ModelmillError, match="npm error code ENOTFOUND") as caught:
        install(definition, tmp_path / "made", environ)
    assert caught.value.reason == "ENVIRONMENT_INSTALL_FAILED"


def test_a_full_disk_is_told_as_such(environ, script, definition, tmp_path) -> None:
    script("npm", "echo 'npm error ENOSPC: no space left on device'; exit 1\n")
    with pytest.raises(ModelmillError) as caught:
        install(definition, tmp_path / "made", environ)
    assert caught.value.reason == "DISK_FULL"


def test_packages_that_node_cannot_load_are_broken(environ, script, definition, tmp_path) -> None:
    script("npm", NPM_THAT_INSTALLS)
    script("node", "echo 'Cannot find module'; exit 1\n")
    with pytest.raises(ModelmillError) as caught:
        install(definition, tmp_path / "made", environ)
    assert caught.value.reason == "ENVIRONMENT_BROKEN"
    assert "Cannot find module" in caught.value.failure.log_tail


def test_keeps_the_registry_and_drops_what_leads_astray() -> None:
    given = {
        "PATH": "/bin",
        "NODE_PATH": "/x",
        "NODE_OPTIONS": "-r y",
        "NODE_EXTRA_CA_CERTS": "/ca",
        "npm_config_x": "1",
    }
    assert node_variables(given) == {"PATH": "/bin", "NODE_EXTRA_CA_CERTS": "/ca"}
