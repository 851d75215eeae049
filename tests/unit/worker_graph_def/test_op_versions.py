"""Which versions read a graph. The versions' own answers: tests/integration/environments/test_op_versions.py."""

import subprocess
import sys
import time

import pytest
from modelmill_worker import graph_def, op_versions
from modelmill_worker.errors import StepError
from modelmill_worker.op_versions_table import NO_DEFAULT, plain_value, table

FLOAT, DOUBLE, INT32, FLOAT8 = 1, 2, 3, 24
ALL = op_versions.versions()


def from_on(version):
    return list(ALL[ALL.index(version) :])


def add(graph, name, operation, *inputs, **attributes):
    """A node; an int under a name of a type attribute is a data type."""
    node = graph.node.add() if hasattr(graph, "node") else graph.node_def.add()
    node.name, node.op = name, operation
    node.input.extend(inputs)
    for key, value in attributes.items():
        if key in ("T", "dtype", "DstT", "SrcT", "Tshape"):
            node.attr[key].type = value
        elif isinstance(value, bool):
            node.attr[key].b = value
        elif isinstance(value, int):
            node.attr[key].i = value
        elif isinstance(value, float):
            node.attr[key].f = value
        elif isinstance(value, bytes):
            node.attr[key].s = value
        elif isinstance(value, list):
            node.attr[key].list.i.extend(value)
            node.attr[key].list.SetInParent()
        else:
            node.attr[key].func.name = value
    return node


@pytest.fixture
def graph():
    made = graph_def.new_graph()
    made.versions.producer = 1000
    return made


def convolution(graph, name, **attributes):
    return add(
        graph,
        name,
        "Conv2D",
        "x",
        "w",
        T=FLOAT,
        strides=[1, 1, 1, 1],
        padding=b"SAME",
        data_format=b"NHWC",
        **attributes,
    )


def readable(graph, nodes=None):
    return [version for version, verdict in op_versions.judge(graph, nodes).items() if verdict.readable]


def reason(graph, version):
    return op_versions.judge(graph)[version].reason


def test_knows_every_minor_version_from_1_5_to_2_21():
    assert list(ALL) == [f"1.{n}" for n in range(5, 16)] + [f"2.{n}" for n in range(22)]


def test_what_all_know_is_read_by_all(graph):
    add(graph, "x", "Placeholder", dtype=FLOAT)
    add(graph, "y", "Relu", "x", T=FLOAT)
    assert readable(graph) == list(ALL)


def test_an_operation_is_known_from_a_version_on(graph):
    for name in ("prelu/x", "a", "b", "c"):
        add(graph, name, "LeakyRelu", "x", T=FLOAT, alpha=0.25)
    assert readable(graph) == from_on("1.13")
    assert reason(graph, "1.5") == "the operation LeakyRelu, at prelu/x and 3 more, is known from 1.13 on"


def test_an_operation_that_only_1_15_has_besides_newer_ones(graph):
    add(graph, "x", "BlockLSTMV2", T=FLOAT)
    assert reason(graph, "2.0") == "the operation BlockLSTMV2, at x, is known in 1.15 and from 2.1 on"


def test_an_operation_that_ended(graph):
    add(graph, "x", "Rpc")
    assert reason(graph, "2.21") == "the operation Rpc, at x, is known from 1.8 to 2.4"


def test_an_operation_that_nobody_knows(graph):
    add(graph, "x", "TFLite_Detection_PostProcess")
    reasons = {verdict.reason for verdict in op_versions.judge(graph).values()}
    assert reasons == {"the operation TFLite_Detection_PostProcess, at x, is known to no TensorFlow from 1.5 to 2.21"}


def test_an_operation_of_contrib_says_so_where_contrib_has_it(graph):
    add(graph, "x", "BipartiteMatch")
    assert reason(graph, "1.12").endswith("; TensorFlow 1.12 knows it only once tf.contrib is loaded")
    assert "contrib" not in reason(graph, "2.0")


def test_an_attribute_at_its_default_is_to_be_dropped(graph):
    convolution(graph, "conv", explicit_paddings=[])
    verdicts = op_versions.judge(graph)
    assert readable(graph) == from_on("1.14")
    assert verdicts["1.9"] == op_versions.Verdict("1.9", dropped=("Conv2D.explicit_paddings",))


def test_an_attribute_with_another_value_cannot_be_dropped(graph):
    convolution(graph, "conv", explicit_paddings=[])
    convolution(graph, "other", explicit_paddings=[0, 0, 1, 1, 1, 1, 0, 0])
    assert reason(graph, "1.13") == (
        "the attribute explicit_paddings of Conv2D, at other, is known from 1.14 on, "
        "and [0, 0, 1, 1, 1, 1, 0, 0] is not its default"
    )


def test_from_2_5_on_an_unknown_attribute_is_ignored(graph):
    add(graph, "v", "VarHandleOp", dtype=FLOAT, shape=1, debug_name=b"v/")
    graph.node[0].attr["shape"].shape.SetInParent()
    verdicts = op_versions.judge(graph)
    assert "debug_name" in verdicts["2.4"].reason
    assert verdicts["2.5"] == op_versions.Verdict("2.5", ignored=("VarHandleOp.debug_name",))
    assert verdicts["2.21"] == op_versions.Verdict("2.21")
    assert op_versions.drop_default_attributes(graph, "2.5") == {}


def test_of_several_reasons_the_one_that_lasts_longest_is_given(graph):
    add(graph, "a", "LeakyRelu", "x", T=FLOAT)
    convolution(graph, "conv", explicit_paddings=[1])
    assert reason(graph, "1.5").startswith("the attribute explicit_paddings")


def test_a_value_that_a_version_does_not_allow(graph):
    convolution(graph, "conv").attr["T"].type = INT32
    verdicts = op_versions.judge(graph)
    assert verdicts["2.21"].readable
    assert verdicts["1.5"].reason == "Conv2D with T int32, at conv, is known from 2.1 on"


def test_a_string_that_no_version_allows(graph):
    convolution(graph, "conv").attr["padding"].s = b"FULL"
    assert {verdict.reason for verdict in op_versions.judge(graph).values()} == {
        "Conv2D with padding 'FULL', at conv, is known to no version"
    }


def test_a_data_type_that_a_version_does_not_have(graph):
    add(graph, "x", "Placeholder", dtype=FLOAT8)
    verdicts = op_versions.judge(graph)
    assert verdicts["2.21"].readable
    assert "Placeholder with dtype" in verdicts["1.15"].reason


def test_a_value_of_the_wrong_kind(graph):
    add(graph, "y", "Relu", "x").attr["T"].i = 1
    assert reason(graph, "2.15") == "the attribute T of Relu, at y, is no type"


def test_an_attribute_that_is_needed_and_missing(graph):
    add(graph, "z", "Cast", "x", SrcT=FLOAT)
    assert reason(graph, "2.15") == "Cast, at z, lacks the attribute DstT, which every version needs"


def test_an_attribute_with_an_underscore_is_nobodys_business(graph):
    add(graph, "y", "Relu", "x", T=FLOAT, _output_shapes=[1])
    assert readable(graph) == list(ALL)
    assert op_versions.drop_default_attributes(graph, "1.5") == {}


def test_an_operation_with_more_inputs_since(graph):
    add(graph, "list", "EmptyTensorList", "shape", dtype=FLOAT)
    graph.node[0].attr["element_dtype"].type = FLOAT
    graph.node[0].attr["shape_type"].type = INT32
    del graph.node[0].attr["dtype"]
    assert readable(graph) == [version for version in ALL if version in ("1.8", "1.9", "1.10", "1.11", "1.12")]
    assert reason(graph, "2.15") == "EmptyTensorList, at list, with 1 input, is known from 1.8 to 1.12"


def test_a_deprecated_operation_in_an_old_and_a_new_graph(graph):
    add(graph, "y", "BatchNormWithGlobalNormalization", "t", "m", "v", "b", "g", T=FLOAT, variance_epsilon=0.5)
    graph.node[0].attr["scale_after_normalization"].b = True
    assert reason(graph, "2.15") == (
        "the operation BatchNormWithGlobalNormalization, at y, ended with GraphDef version 9, "
        "and the graph is of version 1000"
    )
    graph.versions.producer = 8
    assert readable(graph) == list(ALL)


def test_versions_that_the_graph_itself_rules_out(graph):
    add(graph, "x", "Placeholder", dtype=FLOAT)
    graph.versions.min_consumer = 134
    graph.versions.bad_consumers.append(1645)
    verdicts = op_versions.judge(graph)
    assert not verdicts["1.14"].readable
    assert "asks for a TensorFlow that reads GraphDef version 134, which" in verdicts["1.5"].reason
    assert verdicts["1.15"].readable
    assert "reads it wrongly" in verdicts["2.15"].reason


def function(graph, name):
    made = graph.library.function.add()
    made.signature.name = name
    return made


def test_functions_are_read_where_a_node_reaches_them(graph):
    add(function(graph, "called"), "inner", "LeakyRelu", "x", T=FLOAT)
    add(function(graph, "calls"), "call", "called", "x")
    add(function(graph, "aside"), "inner", "XlaCallModule", "x")
    add(graph, "y", "PartitionedCall", "x", f="calls", Tin=[], Tout=[])
    assert op_versions.judge(graph)["1.12"].reason == (
        "the operation LeakyRelu, at inner of the function called, is known from 1.13 on"
    )
    assert "XlaCallModule" in op_versions.judge(graph, every_function=True)["1.12"].reason
    assert "XlaCallModule" not in op_versions.judge(graph)["2.0"].reason


def test_a_function_that_calls_itself_ends(graph):
    add(function(graph, "again"), "call", "again", "x")
    add(graph, "y", "again", "x")
    assert readable(graph) == list(ALL)


def test_only_the_nodes_asked_for_count(graph):
    add(graph, "x", "Placeholder", dtype=FLOAT)
    add(graph, "loss", "LeakyRelu", "x", T=FLOAT)
    assert readable(graph, {"x"}) == list(ALL)


def test_drops_from_nodes_and_functions_what_is_at_its_default(graph):
    convolution(graph, "conv", explicit_paddings=[])
    convolution(graph, "other", explicit_paddings=[1], dilations=[1, 1, 1, 1])
    convolution(function(graph, "f"), "inner", explicit_paddings=[])
    dropped = op_versions.drop_default_attributes(graph, "1.13")
    assert dropped == {"Conv2D.explicit_paddings": ["conv", "inner"]}
    assert op_versions.dropped_note(dropped, "1.13") == (
        "Attributes that TensorFlow 1.13 does not know were dropped, as they have their defaults: "
        "Conv2D.explicit_paddings of 2 nodes."
    )
    assert "dilations" in graph.node[1].attr
    assert op_versions.drop_default_attributes(graph, "1.13") == {}


@pytest.mark.parametrize("version", ["1.5", "1.12", "2.0", "2.4"])
def test_what_is_readable_once_stripped_is_readable_then(graph, version):
    """For every operation of the table: a node of the newest definition with all attributes at their defaults."""
    for name in table().operations():
        definition = table().history(name)[-1]
        if definition is None or definition.required or definition.deprecated:
            continue
        node = graph.node.add()
        node.name, node.op = name, name
        for attribute, found in definition.attributes.items():
            if found.kind in SETTERS and found.default is not NO_DEFAULT:
                SETTERS[found.kind](node.attr[attribute], found.default)
                assert plain_value(node.attr[attribute], found.kind) == found.default
    nodes = {node.name for node in graph.node}
    assert len(nodes) > 100
    before = {name: judged(graph, name, version) for name in nodes}
    op_versions.drop_default_attributes(graph, version)
    for name, verdict in before.items():
        after = judged(graph, name, version)
        assert after.dropped == ()
        assert bool(after.reason) == bool(verdict.reason)


def judged(graph, name, version):
    return op_versions.judge(graph, {name})[version]


SETTERS = {
    "bool": lambda value, default: setattr(value, "b", default),
    "float": lambda value, default: setattr(value, "f", default),
    "int": lambda value, default: setattr(value, "i", default),
    "list(int)": lambda value, default: value.list.i.extend(default) or value.list.SetInParent(),
    "string": lambda value, default: setattr(value, "s", default.encode("latin-1")),
    "type": lambda value, default: setattr(value, "type", default),
}


@pytest.mark.parametrize(
    ("version", "minor"), [("1.15.5", "1.15"), ("2.4", "2.4"), ("2.21.0", "2.21"), ("2.22.1", "2.21"), ("3.0", "2.21")]
)
def test_a_newer_version_counts_as_the_newest(version, minor):
    assert op_versions.minor_version(version) == minor


@pytest.mark.parametrize("version", ["1.4.1", "0.12", "newest", ""])
def test_refuses_what_it_knows_nothing_of(version):
    with pytest.raises(StepError) as raised:
        op_versions.minor_version(version)
    assert raised.value.reason == "TENSORFLOW_VERSION_UNKNOWN"


def test_judges_a_graph_of_20_000_nodes_in_seconds(graph):
    for number in range(20_000):
        convolution(graph, f"conv{number}", explicit_paddings=[])
    started = time.process_time()
    assert op_versions.judge(graph)["1.9"].dropped == ("Conv2D.explicit_paddings",)
    assert time.process_time() - started < 5  # 0.2 s on a machine at rest


def test_reads_no_table_before_it_is_asked():
    code = "import sys, modelmill_worker.op_versions as v; from modelmill_worker.op_versions_table import table\n"
    code += "sys.exit(table.cache_info().currsize)"
    subprocess.run([sys.executable, "-c", code], check=True)
