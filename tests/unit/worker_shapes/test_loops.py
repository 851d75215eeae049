"""What a loop may change is not claimed."""

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.shapes import infer


def graph_of(*described):
    graph = graph_def.new_graph()
    for name, operation, *inputs in described:
        node = graph.node.add(name=name, op=operation)
        if operation == "Placeholder":
            node.attr["dtype"].type = 1
            tensors.encode_shape(inputs[0], node.attr["shape"].shape)
        elif operation == "Const":
            node.ParseFromString(graph_def.new_constant(name, np.array(inputs[0])).SerializeToString())
        else:
            node.input.extend(inputs)
    return graph


def test_a_loop_that_grows_an_axis_leaves_it_open_and_what_is_made_as_large():
    graph = graph_of(
        ("x", "Placeholder", (2, 3)),
        ("go", "Placeholder", ()),
        ("enter", "Enter", "x"),
        ("merge", "Merge", "enter", "next"),
        ("cond", "LoopCond", "go"),
        ("switch", "Switch", "merge", "cond"),
        ("axis", "Const", np.int32(0)),
        ("grown", "ConcatV2", "switch:1", "switch:1", "axis"),
        ("next", "NextIteration", "grown"),
        ("shape", "Shape", "merge"),
        ("zero", "Const", np.float32(0)),
        ("like", "Fill", "shape", "zero"),
        ("exit", "Exit", "switch"),
    )
    shapes = infer(graph)
    for name in ("merge", "grown", "like", "exit"):
        assert shapes.of(name).shape == (-1, 3), name


def test_a_loop_that_hands_its_values_on_claims_nothing_before_it_has_settled():
    graph = graph_of(("open", "Placeholder", (-1, 3)), *((f"x{number}", "Placeholder", (2, 3)) for number in range(8)))
    loop = graph.node.add(name="loop", op="While", input=[*(f"x{number}" for number in range(8)), "open"])
    loop.attr["body"].func.name = "body"
    function = graph.library.function.add()
    function.signature.name = "body"
    for number in range(9):
        function.signature.input_arg.add(name=f"a{number}", type=1)
        function.signature.output_arg.add(name=f"r{number}", type=1)
        function.ret[f"r{number}"] = f"a{min(number + 1, 8)}"  # each takes the value of the next
    shapes = infer(graph)
    assert all(shapes.of(f"loop:{number}").shape in (None, (-1, 3)) for number in range(9))


def test_rules_that_have_a_shape_of_their_own():
    graph = graph_of(
        ("x", "Placeholder", (3, 4)),
        ("part", "MatrixDiagPart", "x"),
        ("diagonal", "Diag", "x"),
        ("known", "IsVariableInitialized", "x"),
        ("bytes", "Bitcast", "x"),
    )
    graph.node[4].attr["T"].type, graph.node[4].attr["type"].type = 1, 4
    shapes = infer(graph)
    assert shapes.of("part").shape == (3,)
    assert shapes.of("diagonal").shape == (3, 4, 3, 4)
    assert shapes.of("known").shape == ()
    assert shapes.of("bytes").shape is None
    graph.node[4].attr["type"].type = 3
    assert infer(graph).of("bytes").shape == (3, 4)
