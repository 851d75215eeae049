import base64
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from modelmill.errors import ModelmillError
from modelmill.fleet.code_layer import CodeLayer
from modelmill.fleet.code_sources import CodeSource
from modelmill.settings import Settings

PROJECT = """
[project]
name = "modelmill-shouter"
version = "{version}"
requires-python = ">=3.6"
[project.entry-points."modelmill.plugins"]
shouter = "modelmill_shouter"
[build-system]
requires = ["uv_build>=0.8,<1"]
build-backend = "uv_build"
[tool.uv.build-backend]
module-name = "modelmill_shouter"
module-root = ""
"""


def ignore(message: str) -> None:
    pass


@pytest.fixture
def shouter(tmp_path):
    """A third party's plug-in, as a project folder."""
    folder = tmp_path / "shouter"
    (folder / "modelmill_shouter").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT.format(version="1.0"))
    (folder / "modelmill_shouter" / "__init__.py").write_text("WORD = 'one'\n")
    return folder


@pytest.fixture
def layer(tmp_path):
    """Makes code layers of one home; all are closed at the end."""
    made = []

    def make(*plugins: object) -> CodeLayer:
        made.append(CodeLayer(Settings(home=tmp_path / "home", plugins=tuple(map(str, plugins)))))
        return made[-1]

    yield make
    for one in made:
        one.close()


def word_in(code: Path) -> str:
    program = "import modelmill_shouter, modelmill_worker; print(modelmill_shouter.WORD, modelmill_shouter.__file__)"
    told = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": f"{code}{os.pathsep}{os.pathsep.join(sys.path)}"},
        capture_output=True,
        text=True,
        check=True,
    )
    word, file = told.stdout.split()
    assert file.startswith(str(code))
    return word


def test_has_worker_contract_and_plugins_with_their_entry_points(layer):
    code = layer().ensure(ignore)
    for package in ("modelmill_protos", "modelmill_worker", "modelmill_freezer", "modelmill_verifier"):
        assert (code / package / "__init__.py").exists()
    assert "modelmill.plugins" in (code / "modelmill_freezer-0.1.0.dist-info" / "entry_points.txt").read_text()
    assert (code / "modelmill_verifier" / "run_tfjs_model.js").exists()


def test_is_built_once(layer):
    one, other = layer(), layer()
    code = one.ensure(ignore)
    told: list[str] = []
    assert one.ensure(told.append) == other.ensure(told.append) == code
    assert told == []


def test_an_edit_makes_a_new_folder_and_leaves_the_old(layer, shouter):
    some = layer(shouter)
    before = some.ensure(ignore)
    assert word_in(before) == "one"
    (shouter / "modelmill_shouter" / "__init__.py").write_text("WORD = 'two'\n")
    told: list[str] = []
    after = some.ensure(told.append)
    assert told == ["Building modelmill-shouter"]
    assert (word_in(before), word_in(after)) == ("one", "two")
    (shouter / "modelmill_shouter" / "__init__.py").write_text("WORD = 'one'\n")
    assert some.ensure(told.append) == before
    assert len(told) == 1


def test_what_running_and_building_leave_changes_nothing(layer, shouter):
    some = layer(shouter)
    before = some.ensure(ignore)
    for leftover in (
        "modelmill_shouter/__pycache__/x.cpython-311.pyc",
        "build/lib/x.py",
        "dist/x.whl",
        "x.egg-info/PKG-INFO",
        ".git/HEAD",
        "venv/pyvenv.cfg",
        "venv/lib/x.py",
    ):
        (shouter / leftover).parent.mkdir(parents=True, exist_ok=True)
        (shouter / leftover).write_text("left")
    assert some.ensure(ignore) == before


def test_a_plugin_that_does_not_build_is_named_and_left_out(layer, shouter, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(shouter, broken)
    (broken / "pyproject.toml").write_text(PROJECT.format(version="not a version").replace("shouter", "broken"))
    some = layer(broken, shouter)
    code = some.ensure(ignore)
    assert word_in(code) == "one"
    assert [plugin.distribution for plugin in some.broken] == ["modelmill-broken"]
    failure = some.broken[0].failure
    assert failure.reason == "PLUGIN_BUILD_FAILED"
    assert str(broken) in failure.message
    assert "version" in failure.log_tail

    told: list[str] = []
    assert some.ensure(told.append) == code
    assert told == [], "what failed is not tried again until it changes"
    assert len(some.broken) == 1

    (broken / "pyproject.toml").write_text(PROJECT.format(version="1.0").replace("shouter", "broken"))
    (broken / "modelmill_shouter").rename(broken / "modelmill_broken")
    assert (some.ensure(ignore) / "modelmill_broken").exists()
    assert some.broken == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "neither a wheel nor a folder with a pyproject.toml"),
        ("absent-1.0-py3-none-any.whl", "neither a wheel nor a folder with a pyproject.toml"),
        ("native-1.0-cp311-cp311-linux_x86_64.whl", "not pure Python 3"),
        ("cut-1.0-py3-none-any.whl", "not a whole wheel"),
        ("nameless.whl", "Invalid wheel filename"),
    ],
)
def test_what_is_no_plugin_is_told_and_left_out(layer, tmp_path, name, said):
    if name.endswith(".whl") and not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 cut off")
    some = layer(tmp_path / name)
    some.ensure(ignore)
    assert said in some.broken[0].failure.message


def test_takes_a_wheel(layer, tmp_path):
    wheel = tmp_path / "modelmill_shouter-2.0-py3-none-any.whl"
    body = b"WORD = 'wheel'\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("modelmill_shouter/__init__.py", body)
        archive.writestr("modelmill_shouter-2.0.data/scripts/shout", b"")
        archive.writestr("modelmill_shouter-2.0.dist-info/METADATA", "Name: modelmill-shouter\nVersion: 2.0\n")
        archive.writestr(
            "modelmill_shouter-2.0.dist-info/RECORD", f"modelmill_shouter/__init__.py,sha256={digest},15\n"
        )
    some = layer(wheel)
    code = some.ensure(ignore)
    assert some.broken == ()
    assert word_in(code) == "wheel"
    assert not (code / "modelmill_shouter-2.0.data").exists()


def test_a_distribution_that_takes_a_name_of_ours_is_left_out(layer, shouter):
    (shouter / "pyproject.toml").write_text(
        PROJECT.format(version="9.0").replace("modelmill-shouter", "modelmill-freezer")
    )
    some = layer(shouter)
    code = some.ensure(ignore)
    assert [plugin.failure.reason for plugin in some.broken] == ["PLUGIN_NAME_TAKEN"]
    assert not (code / "modelmill_shouter").exists()


def test_a_source_that_changes_while_it_is_built_is_built_anew(layer, shouter, monkeypatch):
    module = shouter / "modelmill_shouter" / "__init__.py"
    some = layer(shouter)
    digest = CodeSource.digest
    edits = iter(["WORD = 'two'\n"])

    def digest_then_edit(source: CodeSource) -> str:
        told = digest(source)
        if source.path == shouter:
            module.write_text(next(edits, module.read_text()))
        return told

    monkeypatch.setattr(CodeSource, "digest", digest_then_edit)
    assert word_in(some.ensure(ignore)) == "two"
    module.write_text("WORD = 'one'\n")
    assert word_in(some.ensure(ignore)) == "one", "no wheel of the second state is kept under the first's digest"


def test_old_layers_go_unless_somebody_uses_them(layer, shouter, tmp_path):
    used, unused = layer(shouter), layer(shouter)
    kept = used.ensure(ignore)
    (shouter / "modelmill_shouter" / "__init__.py").write_text("WORD = 'two'\n")
    left = unused.ensure(ignore)
    unused.close()
    long_ago = time.time() - 30 * 24 * 3600
    for record in (tmp_path / "home" / "code").glob("*/.complete.json"):
        os.utime(record, (long_ago, long_ago))
    (shouter / "modelmill_shouter" / "__init__.py").write_text("WORD = 'three'\n")
    newest = layer(shouter).ensure(ignore)
    assert kept.exists()
    assert newest.exists()
    assert not left.exists()


def test_without_the_worker_there_is_no_layer(layer, uv_is):
    uv_is("echo 'error: no'; exit 2\n")
    with pytest.raises(ModelmillError) as caught:
        layer().ensure(ignore)
    assert caught.value.reason == "CODE_BUILD_FAILED"
    assert "modelmill-protos" in str(caught.value)


def test_a_wheel_that_was_cut_off_is_built_anew(layer, shouter, tmp_path):
    """As where the machine stopped before it was on the disk."""
    layer(shouter).ensure(ignore)
    for wheel in (tmp_path / "home" / "code" / "wheels").glob("*/*.whl"):
        wheel.write_bytes(b"")
    (shouter / "modelmill_shouter" / "__init__.py").write_text("WORD = 'two'\n")
    told: list[str] = []
    some = layer(shouter)
    assert word_in(some.ensure(told.append)) == "two"
    assert "Building modelmill-worker" in told
    assert some.broken == ()
