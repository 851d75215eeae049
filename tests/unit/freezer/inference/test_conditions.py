import numpy as np
import pytest
from modelmill_freezer.inference.conditions import fold_conditions
from modelmill_worker import graph_def

COND = """
x = Placeholder() dtype=DT_FLOAT
p = Const() dtype=DT_BOOL value=const:{truth}
c/pred = Identity(p) T=DT_BOOL
c/Switch = Switch(p, p) T=DT_BOOL
c/switch_t = Identity(c/Switch:1) T=DT_BOOL
c/switch_f = Identity(c/Switch) T=DT_BOOL
c/x = Switch(x, c/pred) T=DT_FLOAT
c/two = Const(^c/switch_t) dtype=DT_FLOAT value=const:2.0
c/yes = Mul(c/x:1, c/two) T=DT_FLOAT
c/no = Identity(c/x) T=DT_FLOAT
c/only_no = NoOp(^c/switch_f)
c/Merge = Merge(c/no, c/yes) T=DT_FLOAT N=x
y = Relu(c/Merge) T=DT_FLOAT
which = Neg(c/Merge:1) T=DT_INT32
"""


def test_takes_the_branch_for_false(graph, lines):
    made = graph(COND.format(truth="false"))
    (change,) = fold_conditions(made)
    found = lines(made)
    assert found["c/Merge"] == "Identity(c/no)"
    assert found["c/x"] == "Identity(x)"
    assert found["c/no"] == "Identity(c/x)"
    assert not {"c/yes", "c/two", "c/switch_t"} & set(found)
    assert change.nodes == ("c/Switch", "c/x")


def test_takes_the_branch_for_true(graph, lines):
    made = graph(COND.format(truth="true"))
    fold_conditions(made)
    found = lines(made)
    assert found["c/Merge"] == "Identity(c/yes)"
    assert found["c/yes"] == "Mul(c/x, c/two)"
    assert not {"c/no", "c/only_no", "c/switch_f"} & set(found)


@pytest.mark.parametrize(("truth", "index"), [("false", 0), ("true", 1)])
def test_a_merge_still_says_which_branch_it_took(graph, lines, truth, index):
    made = graph(COND.format(truth=truth))
    fold_conditions(made)
    (constant,) = graph_def.data_inputs(graph_def.nodes_by_name(made)["which"])
    np.testing.assert_array_equal(graph_def.constant_value(graph_def.nodes_by_name(made)[constant]), index)


@pytest.mark.parametrize(
    ("predicate", "taken"),
    [
        ("q = LogicalNot(p)", "c/yes"),
        ("q = LogicalAnd(p, open)", "c/no"),
        ("q = LogicalOr(p, p)", "c/no"),
        ("q = Identity(p)", "c/no"),
    ],
)
def test_computes_with_truths(graph, lines, predicate, taken):
    text = COND.format(truth="false").replace("c/pred = Identity(p)", "c/pred = Identity(q)")
    text = text.replace("Switch(p, p)", "Switch(q, q)") + predicate + "\nopen = Placeholder() dtype=DT_BOOL\n"
    made = graph(text)
    fold_conditions(made)
    assert lines(made)["c/Merge"] == f"Identity({taken})"


def test_leaves_alone_what_depends_on_something(graph):
    text = COND.format(truth="false").replace("p = Const() dtype=DT_BOOL value=const:false", "p = Placeholder()")
    made = graph(text)
    before = made.SerializeToString(deterministic=True)
    assert fold_conditions(made) == []
    assert made.SerializeToString(deterministic=True) == before


LOOP = """
x = Placeholder() dtype=DT_FLOAT
w/Enter = Enter(x) T=DT_FLOAT
w/Merge = Merge(w/Enter, w/Next) T=DT_FLOAT
w/Less = Less(w/Merge, w/Merge) T=DT_FLOAT
w/Cond = LoopCond(w/Less)
w/Switch = Switch(w/Merge, w/Cond) T=DT_FLOAT
w/Body = Relu(w/Switch:1) T=DT_FLOAT
w/Next = NextIteration(w/Body) T=DT_FLOAT
w/Exit = Exit(w/Switch) T=DT_FLOAT
"""


def test_leaves_loops_alone(graph):
    made = graph(LOOP)
    assert fold_conditions(made) == []
    assert len(made.node) == 9


def test_a_loop_in_the_branch_not_taken_goes_with_it(graph, lines):
    text = COND.format(truth="false").replace("c/yes = Mul(c/x:1, c/two)", "c/yes = Mul(w/Exit, c/two)")
    made = graph(text + LOOP.replace("x = Placeholder() dtype=DT_FLOAT\n", "").replace("Enter(x)", "Enter(c/x:1)"))
    fold_conditions(made)
    assert not [name for name in lines(made) if name.startswith("w/")]


def test_a_loop_in_the_branch_that_is_taken_stays(graph, lines):
    text = COND.format(truth="true").replace("c/yes = Mul(c/x:1, c/two)", "c/yes = Mul(w/Exit, c/two)")
    made = graph(text + LOOP.replace("x = Placeholder() dtype=DT_FLOAT\n", "").replace("Enter(x)", "Enter(c/x:1)"))
    fold_conditions(made)
    found = lines(made)
    assert (found["w/Enter"], found["w/Merge"]) == ("Enter(c/x)", "Merge(w/Enter, w/Next)")


def test_switches_of_references_stay_on_references(graph, lines):
    made = graph(
        """
        p = Const() dtype=DT_BOOL value=const:true
        v = VariableV2() dtype=DT_FLOAT
        s = RefSwitch(v, p) T=DT_FLOAT
        less = AssignSub(s:1, v) T=DT_FLOAT
        """
    )
    fold_conditions(made)
    assert (lines(made)["s"], lines(made)["less"]) == ("RefIdentity(v)", "AssignSub(s, v)")


@pytest.mark.parametrize(("operation", "call"), [("If", "StatefulPartitionedCall"), ("StatelessIf", "PartitionedCall")])
def test_a_condition_of_tensorflow_2_becomes_a_call_of_its_branch(graph, lines, operation, call):
    made = graph(
        f"""
        x = Placeholder() dtype=DT_FLOAT
        p = Const() dtype=DT_BOOL value=const:false
        c = {operation}(p, x) Tcond=DT_BOOL Tin=types:DT_FLOAT Tout=types:DT_FLOAT
        y = Relu(c) T=DT_FLOAT
        """
    )
    node = graph_def.nodes_by_name(made)["c"]
    node.attr["then_branch"].func.name, node.attr["else_branch"].func.name = "train", "infer"
    fold_conditions(made)
    assert lines(made)["c"] == f"{call}(x)"
    assert node.attr["f"].func.name == "infer"
    assert sorted(node.attr) == ["Tin", "Tout", "f"]


def test_a_merge_of_several_branches_loses_the_one_that_never_runs(graph, lines):
    made = graph(
        """
        x = Placeholder() dtype=DT_FLOAT shape=[-1,3]
        never = Const() dtype=DT_BOOL value=const:false
        later = Placeholder() dtype=DT_BOOL shape=[]
        first = Switch(x, never) T=DT_FLOAT
        second = Switch(x, later) T=DT_FLOAT
        a = Relu(first:1) T=DT_FLOAT
        b = Tanh(second:1) T=DT_FLOAT
        c = Neg(second) T=DT_FLOAT
        out = Merge(a, b, c) T=DT_FLOAT N=3
        """
    )
    fold_conditions(made)
    assert lines(made)["out"] == "Merge(b, c)"
    assert "a" not in lines(made)
    assert [node.attr["N"].i for node in made.node if node.name == "out"] == [2]
