"""Control flow, functions, variables, quantisation, and what leaves dimensions open."""


def variable(graph, name, *shape):
    node = graph.node.add(name=name, op="VariableV2")
    node.attr["dtype"].type = 1
    for size in shape:
        node.attr["shape"].shape.dim.add().size = size


def call(graph, name, function, *inputs):
    node = graph.node.add(name=name, op="PartitionedCall", input=inputs)
    node.attr["f"].func.name = function
    node.attr["Tout"].list.type.append(1)
    return node


def test_control_flow_of_both_kinds_is_counted(graph_of, function_of, describe):
    graph = graph_of(
        ("x", "Placeholder", (2, 3)),
        ("p", "Placeholder", ()),
        ("switch", "Switch", "x", "p"),
        ("no", "Relu", "switch"),
        ("yes", "Tanh", "switch:1"),
        ("merge", "Merge", "no", "yes"),
        ("if", "If", "p", "merge"),
    )
    for side in ("then_branch", "else_branch"):
        graph.node[6].attr[side].func.name = "f"
    function_of(graph, "f", "a", "b:y:0", ("b", "Relu", "a"))
    facts = describe(graph, ["if"])
    assert facts["control_flow"] == {"v1": 2, "v2": 1, "loops": 0, "conditions": 2}
    assert facts["functions"] == [{"name": "f", "nodes": 1}]
    assert facts["functions_count"] == 1


def test_a_loop_of_tensorflow_1_is_one(graph_of, describe):
    graph = graph_of(
        ("x", "Placeholder", (2, 3)),
        ("go", "Placeholder", ()),
        ("enter", "Enter", "x"),
        ("merge", "Merge", "enter", "next"),
        ("cond", "LoopCond", "go"),
        ("switch", "Switch", "merge", "cond"),
        ("body", "Relu", "switch:1"),
        ("next", "NextIteration", "body"),
        ("exit", "Exit", "switch"),
    )
    facts = describe(graph, ["exit"])
    assert facts["control_flow"] == {"v1": 6, "v2": 0, "loops": 1, "conditions": 0}
    assert facts["costs"]["loops_count_once"] is True


def test_control_edges_and_variables(graph_of, describe):
    graph = graph_of(("x", "Placeholder", (1, 3)), ("y", "Mul", "x", "v", "^x"))
    variable(graph, "v", 3, 7)
    facts = describe(graph)
    assert facts["control_edges"] == 1
    assert facts["variable_list"] == [{"name": "v", "dtype": "float32", "shape": [3, 7]}]
    assert (facts["variables"], facts["variable_list_count"], facts["variable_elements"]) == (1, 1, 21)
    assert (facts["parameters"], facts["parameter_bytes"], facts["parameters_by_dtype"]) == (21, 84, {"float32": 21})


def test_more_variables_than_are_listed_are_counted(graph_of, describe):
    graph = graph_of(("x", "Placeholder", (1, 3)), ("y", "AddN", "x", *(f"v{number}" for number in range(60))))
    for number in range(60):
        variable(graph, f"v{number}", 3)
    facts = describe(graph)
    assert (len(facts["variable_list"]), facts["variable_list_count"]) == (50, 60)


def test_results_without_a_range_are_named_where_there_are_ranges(graph_of, describe):
    graph = graph_of(
        ("x", "Placeholder", (1, 3)),
        ("w", "Placeholder", (3, 3)),
        ("with", "MatMul", "x", "w"),
        ("relu", "Relu", "with"),
        ("range", "FakeQuantWithMinMaxArgs", "relu"),
        ("without", "MatMul", "range", "w"),
    )
    assert describe(graph)["quantisation"] == {
        "fake_quant_nodes": 1,
        "quantize_and_dequantize_nodes": 0,
        "tensors_without_range": ["without"],
        "tensors_without_range_count": 1,
    }
    del graph.node[4:]
    assert describe(graph)["quantisation"] == {"fake_quant_nodes": 0, "quantize_and_dequantize_nodes": 0}


def test_quantisation_inside_of_functions_is_seen(graph_of, function_of, describe):
    graph = graph_of(("x", "Placeholder", (3, 3)))
    call(graph, "call", "f", "x")
    function_of(
        graph,
        "f",
        "a",
        "without:product:0",
        ("with", "MatMul", "a", "a"),
        ("range", "FakeQuantWithMinMaxArgs", "with:product:0"),
        ("without", "MatMul", "range:outputs:0", "a"),
    )
    quantisation = describe(graph, ["call"])["quantisation"]
    assert quantisation["fake_quant_nodes"] == 1
    assert quantisation["tensors_without_range"] == ["f/without"]


def test_open_dimensions_are_told_with_the_input_that_leaves_them_open(graph_of, function_of, describe):
    graph = graph_of(("x", "Placeholder", (-1, 3)), ("fixed", "Placeholder", (2, 3)), ("sum", "AddN", "fixed", "fixed"))
    call(graph, "call", "f", "x")
    function_of(graph, "f", "a", "b:y:0", ("b", "Relu", "a"))
    graph.node.add(name="both", op="Concat", input=["call", "sum"])
    facts = describe(graph, ["both"])
    found = {one["tensor"]: one for one in facts["unknown_dimensions"]}
    assert {"x:0", "call:0", "call > b:0"} <= set(found)
    assert "sum:0" not in found
    assert found["call > b:0"]["input"] == "x"
    assert found["x:0"] == {
        "tensor": "x:0",
        "shape": [-1, 3],
        "input": "x",
        "cause": "the input x leaves dimension 0 open",
    }
    assert facts["unknown_dimensions_count"] == len(found)


def test_a_further_output_that_is_used_counts(graph_of, describe):
    graph = graph_of(("x", "Placeholder", (-1, 4)), ("s", "Unpack", "x"), ("y", "Relu", "s:1"))
    graph.node[1].attr["num"].i = 2
    graph.node[1].attr["axis"].i = 1
    assert {one["tensor"] for one in describe(graph)["unknown_dimensions"]} == {"x:0", "s:0", "s:1", "y:0"}


def test_what_depends_on_the_data_is_blamed_on_it(graph_of, describe):
    graph = graph_of(("x", "Placeholder", (5, 4)), ("where", "Where", "x"))
    (one,) = describe(graph, ["where"])["unknown_dimensions"]
    assert (one["shape"], one["input"]) == ([-1, 2], "")
    assert one["cause"] == "the size of what where (Where) gives depends on the data"


def test_candidates_say_why_and_how_many_there_are(graph_of, describe):
    heads = [(f"head{number}", "Softmax", "x") for number in range(30)]
    facts = describe(graph_of(("x", "Placeholder", (1, 3)), *heads))
    assert (len(facts["candidate_outputs"]), facts["candidate_outputs_count"]) == (20, 30)
    assert facts["candidate_outputs"][0]["op"] == "Softmax"
    assert "Softmax ends the data flow" in facts["candidate_outputs"][0]["reason"]
    assert [one["name"] for one in facts["candidate_inputs"]] == ["x"]
