import logging
import sys
import textwrap

import pytest
from modelmill_worker import FailedStep, StepError, registry
from modelmill_worker.plugin_api import API_VERSION

GOOD = """
from modelmill_worker import Edge, ErrorHint, Plugin, Role, Target, hookimpl

def run(step):
    return {{}}

@hookimpl
def modelmill_plugins():
    edge = Edge("go", Role.CONVERT, (("model", "tf.frozen_graph"),), "{name}.kind", run)
    yield Plugin("{name}", "1.0", "A plug-in", (edge,), (Target("{target}", "{name}.kind", "A target", "go"),){more})
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs distributions with one module each, seen by this process only."""
    installed = []

    def install(distribution, code):
        module = "installed_" + distribution.replace("-", "_")
        info = tmp_path / "{}-1.0.dist-info".format(distribution.replace("-", "_"))
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: {}\nVersion: 1.0\n".format(distribution))
        (info / "entry_points.txt").write_text("[modelmill.plugins]\nentry = {}\n".format(module))
        (tmp_path / (module + ".py")).write_text(textwrap.dedent(code))
        installed.append(module)

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    for module in installed:
        sys.modules.pop(module, None)


def good(name, target=None, more=""):
    return GOOD.format(name=name, target=target or name + "-target", more=more)


def broken(loaded, distribution):
    return [item for item in loaded.broken if item.distribution == distribution]


def test_loads_a_plugin_with_its_distribution(install):
    install("a-good", good("good"))
    loaded = registry.load().plugins["good"]
    assert loaded.distribution == "a-good"
    assert len(loaded.code_digest) == 64


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        ("import no_such_library", "PLUGIN_NOT_IMPORTABLE", "no_such_library"),
        ("raise SystemExit(3)", "PLUGIN_NOT_IMPORTABLE", "SystemExit"),
        ("def broken(:", "PLUGIN_NOT_IMPORTABLE", "SyntaxError"),
        ("", "PLUGIN_INVALID", "yields no plug-in"),
        (good("x") + "    yield 'rubbish'\n", "PLUGIN_INVALID", "rubbish"),
        (good("x") + "    raise KeyError('in the hook')\n", "PLUGIN_INVALID", "in the hook"),
        (good("x").replace("(edge,)", "(edge, edge)"), "PLUGIN_INVALID", "two edges go"),
        (good("x").replace("(edge,)", "('edge',)"), "PLUGIN_INVALID", "'edge'"),
        (good("x").replace('"A target", "go"', '"A target", "fly"'), "PLUGIN_INVALID", "fly"),
        (good("x").replace("def modelmill_plugins()", "def modelmill_plugins(unknown)"), "PLUGIN_INVALID", "unknown"),
        (good("", target="t"), "PLUGIN_INVALID", "name"),
    ],
)
def test_reports_a_plugin_that_cannot_be_used_and_spares_the_others(install, code, reason, words):
    install("a-good", good("good"))
    install("b-broken", code)
    loaded = registry.load()
    assert "good" in loaded.plugins
    (item,) = broken(loaded, "b-broken")
    assert item.reason == reason
    assert words in item.message
    assert item.version == "1.0"


def test_refuses_another_api_version_and_tells_both(install):
    install("b-newer", good("newer", more=", api_version=7"))
    (item,) = broken(registry.load(), "b-newer")
    assert (item.name, item.reason) == ("newer", "PLUGIN_API_VERSION")
    assert "version 7" in item.message
    assert "version {}".format(API_VERSION) in item.message


def test_refuses_a_name_that_is_taken_and_names_every_provider(install):
    install("b-second", good("same", target="second"))
    install("a-first", good("same", target="first"))
    loaded = registry.load()
    assert loaded.plugins["same"].distribution == "a-first"
    (item,) = broken(loaded, "b-second")
    assert item.reason == "PLUGIN_NAME_TAKEN"
    assert "a-first 1.0" in item.message
    assert "b-second 1.0" in item.message


def test_refuses_a_target_that_is_taken(install):
    install("a-first", good("one", target="same"))
    install("b-second", good("two", target="same"))
    (item,) = broken(registry.load(), "b-second")
    assert item.reason == "PLUGIN_NAME_TAKEN"
    assert "one" in item.message


def test_code_digest_follows_the_code(install, tmp_path):
    install("a-good", good("good"))
    before = registry.load().plugins["good"].code_digest
    assert registry.load().plugins["good"].code_digest == before
    (tmp_path / "installed_a_good.py").write_text(good("good") + "# changed\n")
    assert registry.load().plugins["good"].code_digest != before


def test_says_why_a_broken_plugin_cannot_run(install):
    install("b-newer", good("newer", more=", api_version=7"))
    with pytest.raises(StepError) as caught:
        registry.load().edge("newer", "go")
    assert caught.value.reason == "PLUGIN_BROKEN"
    assert "version 7" in caught.value.message


def test_asks_every_distribution_for_hints(install):
    hook = "\n@hookimpl\ndef modelmill_error_hints(failure):\n    {}\n"
    install("a-raises", good("one") + hook.format("raise ValueError('no')"))
    install("b-knows", good("two") + hook.format("yield ErrorHint('CODE', failure.reason)"))
    install("c-rubbish", good("three") + hook.format("yield 'rubbish'"))
    failure = FailedStep("two", "go", "PLUGIN_RAISED", "m", "log")
    log = logging.LoggerAdapter(logging.getLogger("test"), {})
    hints = registry.load().error_hints(failure, log)
    assert [(source, hint.code, hint.text) for source, hint in hints if source[1] == "-"] == [
        ("b-knows", "CODE", "PLUGIN_RAISED")
    ]


RULES = """
from modelmill_worker import hookimpl

@hookimpl
def modelmill_rewrite_rules():
    yield {rule!r}
"""


def test_what_others_add_to_a_plugin_is_part_of_its_code(install, tmp_path):
    install("a-rewriter", good("rewriter"))
    alone = registry.load().plugins["rewriter"].code_digest
    install("b-rules", good("other") + RULES.format(rule="one"))
    extended = registry.load().plugins["rewriter"].code_digest
    module = tmp_path / "installed_b_rules.py"
    module.write_text(module.read_text().replace("'one'", "'two'"))
    changed = registry.load().plugins["rewriter"].code_digest
    assert len({alone, extended, changed}) == 3


def test_asks_every_distribution_for_what_it_adds(install):
    install("a-good", good("good"))
    install("b-rules", good("other") + RULES.format(rule="one"))
    install("c-rules", good("third") + RULES.format(rule="two"))
    install("d-broken", "import no_such_library")
    added = [
        found
        for found in registry.yielded_by("modelmill_rewrite_rules")
        if found[0] in ("a-good", "b-rules", "c-rules")
    ]
    assert added == [("b-rules", "one"), ("c-rules", "two")]


def test_a_distribution_may_have_rules_and_no_plugin(install):
    install("a-rewriter", good("rewriter"))
    alone = registry.load().plugins["rewriter"].code_digest
    install("b-rules", RULES.format(rule="one"))
    loaded = registry.load()
    assert broken(loaded, "b-rules") == []
    assert loaded.plugins["rewriter"].code_digest != alone
