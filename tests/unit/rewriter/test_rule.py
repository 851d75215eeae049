"""What the engine does for every rule: sharing, order of execution, the contract, an end."""

import cProfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from modelmill_rewriter._rule import _Application
from modelmill_rewriter.rules import PASSES
from modelmill_rewriter.rules.canonical.prelu import Prelu
from modelmill_rewriter.rules_api import (
    YES,
    Firing,
    GraphIndex,
    Pass,
    Report,
    Rule,
    Target,
    relu,
    value,
)
from modelmill_rewriter.sequences import known_names
from modelmill_worker.errors import StepError


@dataclass(frozen=True)
class FuseRelus(Rule):
    """relu(relu(x)) -> relu(x)"""

    name: ClassVar[str] = "fuse_relus"
    summary: ClassVar[str] = "For these tests."

    def pattern(self):
        return relu(relu(value("x")))

    def check(self, match):
        return YES

    def rewrite(self, match, make):
        return make.node("Relu", match["x"])


@dataclass(frozen=True)
class Turning(FuseRelus):
    """neg(x) -> neg(x), without end"""

    name: ClassVar[str] = "turning"

    def pattern(self):
        return -value("x")

    def rewrite(self, match, make):
        return make.node("Neg", match["x"])


@dataclass(frozen=True)
class Breaking(Pass):
    """Leaves a node that reads what is not there."""

    name: ClassVar[str] = "breaking"
    summary: ClassVar[str] = "For these tests."

    def apply(self, graph, target):
        graph.node("y").input[0] = "nowhere"
        return Report(self.name, (Firing(("y",), ("y",)),))


@dataclass(frozen=True)
class Retyping(Breaking):
    name: ClassVar[str] = "retyping"

    def apply(self, graph, target):
        graph.node("y").attr["T"].type = 2
        return Report(self.name, (Firing(("y",), ("y",)),))


def relus(graph, count):
    graph.placeholder("x", (-1, 2))
    for number in range(count):
        graph.node(f"relu{number}", "Relu", f"relu{number - 1}" if number else "x")
    graph.outputs.append(f"relu{count - 1}")


def test_applies_again_to_what_it_made(graph, run_rules):
    relus(graph, 5)
    rewritten = run_rules(graph, FuseRelus())
    assert rewritten.operations == ["Placeholder", "Relu"]
    assert rewritten.names == ["x", "relu4"]


def test_leaves_alone_when_a_part_is_used_elsewhere(graph, run_rules):
    relus(graph, 2)
    graph.outputs.append(graph.node("other", "Neg", "relu0"))
    rewritten = run_rules(graph, FuseRelus())
    assert rewritten.fired == 0
    assert rewritten.refused == {"relu1": "its part 'relu0' is also used elsewhere"}


def test_leaves_alone_when_a_part_is_waited_for(graph, run_rules):
    relus(graph, 2)
    graph.outputs.append(graph.node("other", "Neg", "x", "^relu0"))
    assert run_rules(graph, FuseRelus()).refused == {"relu1": "its part 'relu0' is also used elsewhere"}


def test_leaves_alone_when_a_part_is_an_output(graph, run_rules):
    relus(graph, 2)
    graph.outputs.append("relu0")
    assert run_rules(graph, FuseRelus()).refused == {"relu1": "its part 'relu0' is an output of the model"}


def test_leaves_alone_when_an_input_of_the_model_is_fed_in_between(graph, run_rules):
    relus(graph, 2)
    graph.inputs.append("relu0")
    assert run_rules(graph, FuseRelus()).fired == 0


def test_the_replacement_waits_for_what_the_parts_waited_for(graph, run_rules):
    relus(graph, 2)
    graph.node("fill", "HashTableV2")
    graph.find("relu0").input.append("^fill")
    rewritten = run_rules(graph, FuseRelus())
    assert list(rewritten.find("relu1").input) == ["x", "^fill"]


def test_the_replacement_lies_on_the_device_of_what_it_replaces(graph, run_rules):
    relus(graph, 2)
    graph.find("relu1").device = "/device:CPU:0"
    assert run_rules(graph, FuseRelus()).find("relu1").device == "/device:CPU:0"


def test_forgets_a_colocation_with_a_node_that_is_gone(graph, run_rules):
    relus(graph, 3)
    graph.node("beside", "Neg", "x")
    graph.find("beside").attr["_class"].list.s.extend([b"loc:@relu0", b"loc:@x"])
    graph.outputs.append("beside")
    assert list(run_rules(graph, FuseRelus()).find("beside").attr["_class"].list.s) == [b"loc:@x"]


def test_new_names_avoid_those_that_are_taken(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.node("taken", "Abs", "x")
    graph.find("taken").name = "prelu/minus_alpha"
    graph.constant("alpha", [0.5, 0.5])
    graph.node("relu", "Relu", "x")
    graph.node("neg", "Neg", "x")
    graph.node("mirrored", "Relu", "neg")
    graph.node("scaled", "Mul", "alpha", "mirrored")
    graph.node("prelu", "Sub", "relu", "scaled")
    graph.outputs += ["prelu", "prelu/minus_alpha"]
    rewritten = run_rules(graph, "prelu")
    assert len(set(rewritten.names)) == len(rewritten.names)
    assert "prelu/minus_alpha_1" in rewritten.names


def test_keeps_the_order_of_the_nodes(graph, run_rules):
    relus(graph, 2)
    graph.outputs.append(graph.node("last", "Neg", "relu1"))
    assert run_rules(graph, FuseRelus()).names == ["x", "relu1", "last"]


def test_ends_a_rule_that_would_not_end(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.outputs.append(graph.node("y", "Neg", "x"))
    with pytest.raises(StepError) as raised:
        run_rules(graph, Turning())
    assert raised.value.reason == "REWRITE_DOES_NOT_END"
    assert (raised.value.details["rule"], raised.value.fault) == ("turning", "TOOL")


def test_holds_a_pass_to_a_valid_graph(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.outputs.append(graph.node("y", "Neg", "x"))
    with pytest.raises(StepError, match="'y' reads 'nowhere'") as raised:
        run_rules(graph, Breaking())
    assert raised.value.reason == "RULE_BROKE_GRAPH"


def test_names_the_rule_that_failed(graph, run_rules):
    @dataclass(frozen=True)
    class Failing(Breaking):
        name: ClassVar[str] = "failing"

        def apply(self, graph, target):
            return graph.data_inputs("y")[7]

    graph.placeholder("x", (-1, 2))
    graph.outputs.append(graph.node("y", "Neg", "x"))
    with pytest.raises(StepError, match="The rule 'failing' failed at this graph") as raised:
        run_rules(graph, Failing())
    assert (raised.value.reason, raised.value.fault) == ("RULE_FAILED", "TOOL")


def test_refuses_a_graph_in_which_an_operation_lacks_inputs(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.outputs.append(graph.node("y", "Conv2D", "x", "^x"))
    with pytest.raises(StepError, match="'y' has fewer inputs than the 2 that Conv2D takes") as raised:
        run_rules(graph, "prelu")
    assert raised.value.reason == "GRAPH_INVALID"


def test_holds_a_pass_to_the_dtypes_of_the_outputs(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.outputs.append(graph.node("y", "Neg", "x"))
    with pytest.raises(StepError) as raised:
        run_rules(graph, Retyping())
    assert raised.value.reason == "RULE_CHANGED_INTERFACE"


def test_every_rule_tells_its_algebra_and_has_a_name_of_its_own():
    names = [item.name for item in PASSES]
    assert len(set(names)) == len(names)
    for item in PASSES:
        module = __import__(type(item).__module__, fromlist=["_"])
        assert "After:" in module.__doc__ or "->" in module.__doc__
        assert item.summary.endswith(".")


def test_the_readme_names_every_rule_and_every_group():
    text = (Path(__file__).parents[3] / "plugins" / "rewriter" / "README.md").read_text(encoding="utf-8")
    assert [name for name in known_names() if f"`{name}" not in text] == []


def test_every_rule_has_golden_pairs():
    golden = Path(__file__).parent / "golden"
    lacking = [item.name for item in PASSES if not list((golden / item.name).glob("*.before.pbtxt"))]
    # Its value is a file beside the edits; test_edits.py has its pairs.
    assert lacking == ["replace_constant"]


def test_every_rule_lies_in_the_file_of_its_name():
    assert [item.name for item in PASSES if type(item).__module__.rpartition(".")[2] != item.name] == []


def prelu_chain(graph, count, every=1):
    """PReLUs one behind the other, whose parts are used elsewhere; of many `every`, the others are near misses."""
    graph.placeholder("p0", (-1, 2))
    graph.constant("alpha", [0.25, 0.5])
    for number in range(count):
        x, at = f"p{number}", f"n{number}/"
        graph.node(at + "relu", "Relu", x)
        graph.node(at + "neg", "Neg", x)
        graph.node(at + "mirrored", "Relu", at + "neg")
        graph.node(at + "read", "Identity", "alpha")
        graph.node(at + "scaled", "Mul", at + "read", at + "mirrored")
        graph.node(at + "minus", "Neg", at + "scaled")
        graph.node(at + "sum", "Add" if number % every == 0 else "Sub", at + "relu", at + "minus")
        graph.node(f"p{number + 1}", "Mul", at + "sum", at + "scaled")
    graph.outputs.append(f"p{count}")
    return GraphIndex(graph.message, graph.interface)


def test_looks_at_each_of_a_hundred_thousand_nodes_a_few_times(new_graph):
    graph = prelu_chain(new_graph(), 12_500, every=10)
    nodes = len(graph)
    application = _Application(Prelu(), graph, Target())
    assert len(application.report().fired) == 1_250
    # The pattern has about 60 operations over its alternatives, of which a node that is no sum sees none.
    assert application.matcher.attempts < 10 * nodes


def calls_of(function):
    """How many Python calls a function makes: its work, whatever the machine does besides."""
    profile = cProfile.Profile()
    profile.runcall(function)
    return sum(entry.callcount for entry in profile.getstats())


def test_all_work_grows_with_the_graph_and_no_faster(new_graph):
    def work(count):
        graph = prelu_chain(new_graph(), count)
        application = _Application(Prelu(), graph, Target())
        return calls_of(application.report)

    assert work(800) <= 4.05 * work(200)


def test_a_long_chain_is_shortened_in_linear_work(new_graph):
    def work(count):
        graph = new_graph()
        relus(graph, count)
        application = _Application(FuseRelus(), GraphIndex(graph.message, graph.interface), Target())
        return calls_of(application.report)

    assert work(800) <= 4.05 * work(200)
