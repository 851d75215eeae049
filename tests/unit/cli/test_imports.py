"""What the client's side may import: it stands on gRPC, not on the coordinator's insides, and starts fast."""

import ast
import subprocess
import sys
from pathlib import Path

import modelmill
import pytest

PACKAGE = Path(modelmill.__file__).parent
SHARED = {"errors", "settings", "values", "version_order", "wire"}
ALLOWED = {
    "client": {"client"} | SHARED,
    "cli": {"cli", "client"} | SHARED,
    "artifacts": {"artifacts"} | SHARED,
}
#: `modelmill serve` is the one command that is a coordinator.
EXCEPTIONS = {("cli/serve.py", "api")}


def imported_packages(file):
    """The parts of modelmill that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "modelmill" else [node.module]
            )
        for name in names:
            parts = name.split(".")
            if parts[0] == "modelmill" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_what_it_stands_on(package):
    for file in (PACKAGE / package).rglob("*.py"):
        path = file.relative_to(PACKAGE).as_posix()
        wrong = {name for name in imported_packages(file) if (path, name) not in EXCEPTIONS} - ALLOWED[package]
        assert not wrong, f"{path} imports {wrong}"


def modules_after(statement):
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.split()} | set(run.stdout.split())


HEAVY = {"dbos", "sqlalchemy", "jsonschema", "structlog", "tensorflow", "modelmill_worker", "numpy"}


def test_the_command_itself_imports_next_to_nothing():
    loaded = modules_after("import modelmill.cli")
    assert not loaded & (HEAVY | {"rich", "grpc", "google"})


@pytest.mark.parametrize("command", ["convert", "plan", "inspect", "conversions", "environments", "plugins", "targets"])
def test_a_command_imports_neither_the_engine_nor_rich(command):
    loaded = modules_after(f"import modelmill.cli.{command}")
    assert not loaded & (HEAVY | {"rich"})


def test_every_command_that_is_listed_is_there():
    from modelmill.cli.root import root

    for name in root.list_commands(None):
        assert root.get_command(None, name).name == name
