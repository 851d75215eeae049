"""What each TensorFlow makes of the canonical forms: TFLite's operators, and the numbers that they compute.

The graphs are the golden ones of the rules in `rules/canonical`, in their old spellings, and MTCNN's nets. They are
rewritten here for one version, by the sequence of the target tflite, and converted in that version's environment by the
plug-in's own edge. What comes out is run by the version's own interpreter, where it has one, and by TensorFlow 2.15's.
The witness is TensorFlow 2.15 with the old spelling; for MTCNN it is what the trained net said in `golden.npz`.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from modelmill_rewriter._target import parse_version
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules_api import Interface, Target, Tensor
from modelmill_rewriter.sequences import passes_for
from modelmill_worker import graph_def
from modelmill_worker import signature as signatures
from pytest_elsewhere import ROOT, cache_folder, corpus_folder

#: The first run installs the environments.
pytestmark = pytest.mark.timeout(1800)

CODE = [ROOT / "protos", ROOT / "workers", *sorted((ROOT / "plugins").glob("*/"))]
GOLDEN = ROOT / "tests" / "unit" / "rewriter" / "golden"
PROGRAMS = Path(__file__).parent / "programs"

#: The largest error of an output, relative to its range: float32 sums in another order.
TOLERANCE = 1e-5

ALL = ("1.5", "1.7", "1.8", "1.9", "1.10", "1.12", "1.15", "2.1", "2.4", "2.8", "2.15", "2.21")
USUAL = ("1.5", "1.9", "1.15", "2.15")
VERSIONS = [pytest.param(version, marks=[] if version in USUAL else pytest.mark.slow) for version in ALL]
MTCNN = ("1.9", "1.12", "1.15", "2.4", "2.15", "2.21")
#: PReLUs by net, from the paper (Zhang et al. 2016, figure 2): one after each layer but the last.
PRELUS = {"pnet": 3, "rnet": 4, "onet": 5}

#: Golden graphs that are no models for every version: an input without a shape, an assertion of a number, a Neg that
#: is no part of a PReLU.
NO_MODELS = ("rank_unknown", "waiting_for_an_assertion", "relu_used_elsewhere")

#: What the convolution and the matrix product before the activation become.
LAYERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


@dataclass(frozen=True)
class Case:
    """A graph in an old spelling, and what to feed it."""

    name: str
    message: object
    feed: np.ndarray
    input: str
    outputs: tuple[str, ...]

    @property
    def interface(self) -> Interface:
        return Interface((Tensor(self.input),), tuple(Tensor(name) for name in self.outputs))


def golden_case(path: Path) -> Case:
    text = path.read_text()
    given = {key: found.split() for key, found in re.findall(r"^# (\w+): (.*)$", text, re.MULTILINE)}
    message = text_format.Parse(text, graph_def.new_graph())
    (name,) = given["inputs"]
    dims = next(node for node in message.node if node.name == name).attr["shape"].shape.dim
    shape = [int(size) for size in given.get("shape", [])] or [8 if dim.size == -1 else dim.size for dim in dims]
    feed = 2 * np.random.default_rng(3).normal(size=shape)
    return Case(path.name.split(".before")[0], message, feed.astype(np.float32), name, tuple(given["outputs"]))


def golden_cases(rule: str) -> list[Case]:
    """The rule's golden graphs in old spellings, but for those that no TensorFlow takes as they are."""
    cases = [golden_case(path) for path in sorted((GOLDEN / rule).glob("*.before.pbtxt"))]
    return [case for case in cases if case.name not in NO_MODELS]


def mtcnn_case(version: str, net: str) -> Case:
    folder = corpus_folder() / "mtcnn" / version / net
    golden = np.load(folder / "golden.npz")
    outputs = tuple(name for name in golden if name != "input")
    message = graph_def.read(folder / "frozen.pb")
    return Case(f"{version}-{net}", message, golden["input"], f"{net}/input", outputs)


@pytest.fixture(scope="module")
def environments():
    made = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    yield made
    made.close()


@pytest.fixture(scope="module")
def installed(environments):
    """The environment of that name; the test is skipped where this machine cannot have it."""

    def ensure(name):
        status = environments.status(name)
        if status.availability is Availability.UNAVAILABLE:
            pytest.skip(status.unavailable_reason)
        return environments.ensure(name, print)

    return ensure


def run(environment, program: str, folder: Path) -> None:
    subprocess.run(
        [environment.python, PROGRAMS / program, folder],
        env={**os.environ, **environment.variables, "PYTHONPATH": os.pathsep.join(str(path) for path in CODE)},
        check=True,
        stdout=sys.stderr,
    )


def write(folder: Path, case: Case, message) -> None:
    """A frozen graph as the steps take it, and beside it what it is fed."""
    folder.mkdir(parents=True)
    (folder / "graph.pb").write_bytes(message.SerializeToString())
    signatures.write(
        folder,
        signatures.Signature(
            (signatures.Tensor(case.input, f"{case.input}:0", "float32", case.feed.shape),),
            tuple(signatures.Tensor(name, f"{name}:0", "float32", None) for name in case.outputs),
        ),
    )
    np.save(folder / "feed.npy", case.feed)


@dataclass(frozen=True)
class Made:
    """What a version made of a case: the operators, or why there are none; and what they compute."""

    operators: Counter
    error: str
    #: By the interpreters that ran it.
    outputs: dict[str, dict[str, np.ndarray]]

    @property
    def activation(self) -> Counter:
        """The operators without the layers around the activation."""
        return Counter({name: count for name, count in self.operators.items() if name not in LAYERS})


def convert(cases: list[Case], environment, newest, folder: Path) -> dict[str, Made]:
    """Rewrite the cases for an environment's TensorFlow, convert them there, and run them there and in `newest`."""
    target = Target("tflite", parse_version(environment.definition.provides["tensorflow"]))
    for case in cases:
        passes = passes_for("tflite", (), ())
        message, _, _ = rewrite_graph(graph_def.copy(case.message), case.interface, passes, target)
        write(folder / case.name, case, message)
    run(environment, "convert_and_run.py", folder)
    run(newest, "run_again.py", folder)
    return {case.name: made(folder / case.name, case) for case in cases}


def made(folder: Path, case: Case) -> Made:
    facts = json.loads((folder / "facts.json").read_text())
    outputs = {
        which: {name: np.load(folder / which / f"{name}.npy") for name in case.outputs}
        for which in ("there", "again")
        if (folder / which).exists()
    }
    return Made(Counter(facts.get("operators")), facts.get("error", ""), outputs)


@pytest.fixture(scope="module")
def golden_outputs(installed, tmp_path_factory):
    """What the old spellings compute, by TensorFlow 2.15; asked by rule, and computed once."""
    computed: dict[str, dict[str, dict[str, np.ndarray]]] = {}

    def outputs_of(rule):
        if rule not in computed:
            folder = tmp_path_factory.mktemp("expected")
            cases = golden_cases(rule)
            for case in cases:
                write(folder / case.name, case, case.message)
            run(installed("tf-2.15"), "run_sources.py", folder)
            computed[rule] = {case.name: made_by_source(folder / case.name, case) for case in cases}
        return computed[rule]

    return outputs_of


def made_by_source(folder: Path, case: Case) -> dict[str, np.ndarray]:
    return {name: np.load(folder / "source" / f"{name}.npy") for name in case.outputs}


def assert_computes(result: Made, expected: dict[str, np.ndarray], name: str) -> None:
    assert result.outputs, f"{name}: {result.error}"
    for which, outputs in result.outputs.items():
        for output, value in expected.items():
            error = np.abs(outputs[output] - value).max() / max(np.ptp(value), 1e-30)
            assert error <= TOLERANCE, f"{name}: {output}, run {which}, is off by {error} of its range"


def since(version: str, *wanted: int) -> bool:
    return tuple(int(part) for part in version.split(".")) >= wanted


@pytest.mark.parametrize("version", VERSIONS)
def test_prelu_becomes_one_operator(version, installed, golden_outputs, tmp_path):
    cases = golden_cases("prelu")
    found = convert(cases, installed(f"tf-{version}"), installed("tf-2.15"), tmp_path)
    for case in cases:
        result = found[case.name]
        assert_computes(result, golden_outputs("prelu")[case.name], case.name)
        fuses = since(version, 1, 8) if case.feed.ndim == 4 else since(version, 1, 11)
        if not fuses:
            continue
        one_slope = case.name in ("scalar_alpha", "one_slope_larger", "one_slope_neg_outside") or "leaky" in case.name
        expected = "LEAKY_RELU" if one_slope and since(version, 1, 13) else "PRELU"
        assert result.activation == {expected: 1}, case.name


@pytest.mark.parametrize("version", VERSIONS)
def test_gelu_becomes_one_operator_or_six(version, installed, golden_outputs, tmp_path):
    cases = golden_cases("gelu")
    found = convert(cases, installed(f"tf-{version}"), installed("tf-2.15"), tmp_path)
    for case in cases:
        result = found[case.name]
        if case.name.startswith("exact") and not since(version, 2, 9):
            assert result.error.startswith("UNSUPPORTED_OPERATION: TFLite has no operator for "), case.name
            assert "Erf" in result.error, case.name
            continue
        assert_computes(result, golden_outputs("gelu")[case.name], case.name)
        expected = {"GELU": 1} if since(version, 2, 9) else {"MUL": 4, "ADD": 1, "LOGISTIC": 1}
        assert result.activation == expected, case.name


@pytest.mark.parametrize("version", VERSIONS)
def test_hard_swish_becomes_one_operator(version, installed, golden_outputs, tmp_path):
    cases = golden_cases("hard_swish")
    found = convert(cases, installed(f"tf-{version}"), installed("tf-2.15"), tmp_path)
    for case in cases:
        assert_computes(found[case.name], golden_outputs("hard_swish")[case.name], case.name)
        if since(version, 1, 15) and version != "2.0":
            assert found[case.name].activation == {"HARD_SWISH": 1}, case.name
        else:
            # The relu6 is part of the addition.
            assert set(found[case.name].activation) == {"ADD", "MUL"}, case.name


@pytest.mark.parametrize("version", VERSIONS)
def test_l2_normalization_becomes_one_operator_where_it_computes_the_same(version, installed, golden_outputs, tmp_path):
    cases = golden_cases("l2_normalization")
    found = convert(cases, installed(f"tf-{version}"), installed("tf-2.15"), tmp_path)
    for case in cases:
        result = found[case.name]
        if case.name in ("large_epsilon", "over_rows_for_tensorflow_1.15"):
            if since(version, 1, 10):
                assert_computes(result, golden_outputs("l2_normalization")[case.name], case.name)
            assert "L2_NORMALIZATION" not in result.operators, case.name
            continue
        assert_computes(result, golden_outputs("l2_normalization")[case.name], case.name)
        assert result.activation == {"L2_NORMALIZATION": 1}, case.name


@pytest.mark.parametrize("version", [it for it in VERSIONS if since(it.values[0], 1, 10)])
def test_layer_normalization_has_nine_operators(version, installed, golden_outputs, tmp_path):
    cases = golden_cases("layer_normalization")
    found = convert(cases, installed(f"tf-{version}"), installed("tf-2.15"), tmp_path)
    for case in cases:
        assert_computes(found[case.name], golden_outputs("layer_normalization")[case.name], case.name)
        kept = since(version, 1, 13) and case.name.startswith("core")
        count = 8 if case.name == "without_gamma" else 9
        assert sum(found[case.name].operators.values()) == count, case.name
        assert ("SQUARED_DIFFERENCE" in found[case.name].operators) is kept, case.name


@pytest.mark.parametrize("version", MTCNN)
@pytest.mark.parametrize("made_with", ["tf1.9.0", "tf1.15.5"])
def test_mtcnn_has_a_prelu_for_each_and_no_remains(made_with, version, installed, tmp_path):
    if not (corpus_folder() / "mtcnn").exists():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    cases = [mtcnn_case(made_with, net) for net in PRELUS]
    found = convert(cases, installed(f"tf-{version}"), installed("tf-2.15"), tmp_path)
    for case, count in zip(cases, PRELUS.values(), strict=True):
        result = found[case.name]
        golden = np.load(corpus_folder() / "mtcnn" / made_with / case.name.split("-")[1] / "golden.npz")
        assert_computes(result, {name: golden[name] for name in case.outputs}, case.name)
        operators = result.operators
        remains = {"RELU", "NEG", "ABS", "MINIMUM"} & set(operators)
        assert not remains
        if version == "1.9" and not case.name.endswith("pnet"):
            # Behind its one matrix product a PRELU would not load; the trained slopes are all below 1.
            assert (operators["PRELU"], operators["MUL"], operators["MAXIMUM"]) == (count - 1, 1, 1)
            continue
        assert "MUL" not in operators
        assert operators["PRELU"] == count
