"""What a smoke test runs where, with a fleet that notes the steps; real ones run in tests/system and in test_all.py."""

from dataclasses import dataclass, field, replace

import pytest
from modelmill.artifacts import ArtifactStore
from modelmill.errors import ModelmillError
from modelmill.fleet import smoke
from modelmill.fleet.smoke import check_environment
from modelmill.values import (
    Artifact,
    Availability,
    Edge,
    Environment,
    File,
    Plugin,
    Preference,
    Role,
    StepResult,
    WorkerDescription,
)

TF = ("tensorflow>=1.5",)


def edge(name, role, inputs, output, requires=()):
    return Edge(name, role, inputs, output, {}, requires, Preference.NEWEST, 1)


RUN = {"model": "tf.frozen_graph", "inputs": "dataset"}
PLUGIN = Plugin(
    name="all",
    version="1",
    api_version=1,
    summary="",
    distribution="all",
    code_digest="0",
    targets=(),
    edges=(
        edge("freeze", Role.CONVERT, {"model": "tf.graph_def"}, "tf.frozen_graph"),
        edge("convert", Role.CONVERT, {"model": "tf.frozen_graph"}, "tflite", TF),
        edge("sample", Role.SAMPLE, {"model": "tf.frozen_graph"}, "dataset"),
        edge("run-frozen", Role.RUN, RUN, "dataset", TF),
        edge("run-tflite", Role.RUN, {**RUN, "model": "tflite"}, "dataset", ("tensorflow>=1.15",)),
        edge("compare", Role.COMPARE, {"outputs": "dataset", "reference": "dataset"}, "report.verification"),
    ),
)


def environment(version, availability=Availability.INSTALLED):
    provides = {"tensorflow": version} if version else {}
    name = f"tf-{version}" if version else "base"
    return Environment(name, "", "0", "3.11", provides, None, availability, path="/nowhere")


@dataclass
class Fleet:
    """Every step makes one file; a comparison has the facts that it is given."""

    store: ArtifactStore
    known: list
    facts: dict
    ran: list = field(default_factory=list)

    async def install(self, name, progress):
        return next(one for one in self.known if one.name == name)

    def definition(self, name):
        return replace(DEFINITION, name=name)

    async def describe(self):
        return WorkerDescription("base", "3.11", (PLUGIN,), ())

    async def environments(self):
        return self.known

    async def run(self, order, listener):
        self.ran.append((order.edge, order.environment))
        made = PLUGIN.edge(order.edge).output
        facts = self.facts if order.edge == "compare" else {}
        return StepResult(Artifact(made, (File(order.edge, "0", 1),)), facts, 0.1, 1)


@dataclass(frozen=True)
class Definition:
    name: str = ""
    imports: tuple = ("json",)
    node: int | None = None


DEFINITION = Definition()
NEAR = {"passed": True, "tolerance": 1e-5, "outputs": [{"max_abs_error": 2e-7}, {"max_abs_error": 1e-8}]}
FAR = {"passed": False, "tolerance": 1e-5, "outputs": [{"max_abs_error": 0.5}]}


@pytest.fixture
def check(tmp_path, monkeypatch):
    async def no_imports(definition, folder):
        pass

    monkeypatch.setattr(smoke, "_check_imports", no_imports)

    async def run(name, *known, facts=NEAR):
        fleet = Fleet(ArtifactStore(tmp_path / "store"), list(known), facts)
        told = []
        await check_environment(fleet, name, told.append)
        return fleet.ran, told

    return run


async def test_what_it_makes_is_run_where_it_was_made_and_compared(check):
    ran, told = await check("tf-2.15.1", environment("2.15.1"), environment("2.21.0"))
    assert ran == [
        (edge, "tf-2.15.1") for edge in ("freeze", "sample", "run-frozen", "convert", "run-tflite", "compare")
    ]
    assert told[-1] == ("tf-2.15.1: It works: imports, freezes, makes tflite (2.0e-07 from the graph's own results)")


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        (["2.21.0", "1.15.5", "1.9.0"], "1.15.5"),
        (["2.21.0", "2.15.1"], "2.15.1"),
    ],
)
async def test_without_an_interpreter_the_nearest_newer_version_runs_it(check, others, chosen):
    ran, told = await check("tf-1.5.0", environment("1.5.0"), *map(environment, others))
    assert ("run-tflite", f"tf-{chosen}") in ran
    assert told[-1].endswith(f"from the graph's own results, run in tf-{chosen})")


async def test_one_that_is_installed_runs_it_before_one_that_is_not(check):
    near = environment("1.15.5", Availability.INSTALLABLE)
    gone = environment("2.0.4", Availability.UNAVAILABLE)
    ran, _ = await check("tf-1.5.0", environment("1.5.0"), near, gone, environment("2.21.0"))
    assert ("run-tflite", "tf-2.21.0") in ran


async def test_where_nothing_can_run_it_that_is_said(check):
    ran, told = await check("tf-1.5.0", environment("1.5.0"))
    assert "run-tflite" not in dict(ran)
    assert told[-1].endswith("makes tflite (nothing here can run it)")


async def test_wrong_numbers_fail_the_check(check):
    with pytest.raises(ModelmillError) as caught:
        await check("tf-2.15.1", environment("2.15.1"), facts=FAR)
    assert caught.value.reason == "WRONG_NUMBERS"
    assert "tf-2.15.1 makes a tflite whose results are up to 0.5 away" in str(caught.value)


async def test_a_comparison_that_could_not_be_made_is_said(check):
    _, told = await check("tf-2.15.1", environment("2.15.1"), facts={"skipped": "inputs are strings"})
    assert told[-1].endswith("makes tflite (not compared: inputs are strings)")


async def test_without_tensorflow_there_is_nothing_to_convert(check):
    ran, told = await check("base", environment(""))
    assert [edge for edge, _ in ran] == ["freeze"]
    assert told[-1] == "base: It works: imports, freezes"
