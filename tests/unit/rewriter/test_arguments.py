"""How passes and their options are written."""

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

import pytest
from modelmill_rewriter._arguments import Call, parse_calls, with_arguments
from modelmill_rewriter.rules_api import Pass, Report, argument
from modelmill_rewriter.sequences import passes_for
from modelmill_worker.errors import StepError


@dataclass(frozen=True)
class Example(Pass):
    """For these tests."""

    name: ClassVar[str] = "example"
    summary: ClassVar[str] = "For these tests."

    operations: Tuple[str, ...] = argument((), "Which.", name="op")
    sizes: Tuple[int, ...] = argument((), "How large.")
    steps: int = argument(256, "How many.")
    scale: Optional[float] = argument(None, "By what.")
    careful: bool = argument(False, "How.")

    def apply(self, graph, target):
        return Report(self.name)


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("", []),
        ("one", [Call("one")]),
        ("one two", [Call("one"), Call("two")]),
        ("one,two , three", [Call("one"), Call("two"), Call("three")]),
        ("one()\n two", [Call("one"), Call("two")]),
        ("one(op=A, op=B)", [Call("one", (("op", "A"), ("op", "B")))]),
        (
            'one(shape="1,299,299,3",type=float) two',
            [Call("one", (("shape", "1,299,299,3"), ("type", "float"))), Call("two")],
        ),
        ("one(text='a (b) \"c\"')", [Call("one", (("text", 'a (b) "c"'),))]),
        ('one(text="")', [Call("one", (("text", ""),))]),
        ("one(low=-1.5e3)", [Call("one", (("low", "-1.5e3"),))]),
    ],
)
def test_reads_what_transform_graph_read(text, calls):
    assert parse_calls(text) == calls


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("one(", "a parenthesis is open at the end"),
        ("one(op=A", "a parenthesis is open at the end"),
        ("one(op)", "behind 'op' there must be '=' and a value"),
        ("one(op=)", "behind 'op' there must be '=' and a value"),
        ("(op=A)", "'(' stands where the name of a pass is expected"),
        ("one)", "')' stands where the name of a pass is expected"),
        ('one(text="a', "a quotation mark at 9 has no other"),
    ],
)
def test_says_what_it_cannot_read(text, why):
    with pytest.raises(StepError) as raised:
        parse_calls(text)
    assert raised.value.reason == "INVALID_OPTION"
    assert why in raised.value.message


def test_gives_each_option_its_type():
    call = parse_calls("example(op=A, op=B, sizes=1, sizes=-2, steps=64, scale=0.5, careful=True)")[0]
    assert with_arguments(Example(), call.arguments) == Example(("A", "B"), (1, -2), 64, 0.5, True)


def test_options_that_are_not_given_keep_their_defaults():
    assert with_arguments(Example(), ()) == Example()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("example(steps=many)", "The option steps of the rule example cannot be 'many': give a whole number."),
        ("example(scale=x)", "The option scale of the rule example cannot be 'x': give a number."),
        ("example(careful=maybe)", "The option careful of the rule example cannot be 'maybe': give true or false."),
        (
            "example(operations=A)",
            "The option operations of the rule example cannot be 'A': there is no such option; known are: "
            "op, sizes, steps, scale, careful.",
        ),
    ],
)
def test_refuses_a_wrong_option(text, why):
    with pytest.raises(StepError) as raised:
        with_arguments(Example(), parse_calls(text)[0].arguments)
    assert (raised.value.reason, raised.value.message) == ("INVALID_OPTION", why)


def test_a_group_takes_no_options():
    with pytest.raises(StepError, match="stands for several rules and has no options") as raised:
        passes_for("", ["remove_training_nodes(op=A)"], [])
    assert raised.value.details["rules"][0] == "remove_control_dependencies"


def test_the_targets_sequence_may_be_part_of_what_is_chosen():
    sequence = passes_for("tflite", [], [])
    assert passes_for("tflite", ["default"], []) == sequence
    assert passes_for("tflite", ["prelu, default"], [])[1:] == sequence


def test_what_is_left_out_may_be_named_in_one_text():
    names = [item.name for item in passes_for("tflite", [], ["prelu,remove_training_nodes"])]
    assert "prelu" not in names
    assert "prune_unused" not in names
    assert names


def test_a_third_partys_pass_runs_for_its_targets_before_attributes_are_dropped():
    @dataclass(frozen=True)
    class Foreign(Example):
        name: ClassVar[str] = "foreign"
        runs_for: ClassVar[Tuple[str, ...]] = ("tflite",)

    names = [item.name for item in passes_for("tflite", [], [], [Foreign(), Example()])]
    assert names[-2:] == ["foreign", "remove_default_attributes"]
    assert "example" not in names
    assert "foreign" not in [item.name for item in passes_for("tfjs", [], [], [Foreign()])]
    assert passes_for("tfjs", ["example(steps=3)"], [], [Example()]) == (Example(steps=3),)
