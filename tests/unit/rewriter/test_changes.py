"""What the index knows of a graph stays true while passes change it: order, shapes, values and the message."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_rewriter._graph_index import GraphIndex
from modelmill_rewriter._recent_arrays import _MOST_BYTES, RecentArrays
from modelmill_rewriter._validity import require_still_valid, require_valid
from modelmill_rewriter.rules_api import Tensor
from modelmill_worker import graph_def, shapes
from modelmill_worker.errors import StepError


def chain(graph, length):
    """x, then `length` operations, each on the one before and the one before that."""
    before, last = graph.placeholder("x", (2, 3)), graph.constant("c", np.ones((1, 3)))
    for number in range(length):
        before, last = last, graph.node(f"n{number}", "Add", last, before)
    graph.outputs.append(last)
    return graph


def index_of(graph):
    return GraphIndex(graph.message, graph.interface, require_valid(graph.message, graph.interface))


def unary(name, read):
    node = graph_def.new_node(name, "Neg", (read,))
    node.attr["T"].type = 1
    return node


@given(st.data())
def test_shapes_and_order_are_those_of_a_graph_indexed_anew(new_graph, data):
    graph = chain(new_graph(), 6)
    index = index_of(graph)
    index.shape(Tensor("n5"))
    for number in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from([f"n{position}" for position in range(6)]))
        others = [other for other in ("x", "c", "n0", "n1") if other < name or other in ("x", "c")]
        read = data.draw(st.sampled_from(others))
        if data.draw(st.booleans()):
            index.set_inputs(name, [read, "c"])
        else:
            between = f"between{number}"
            index.replace(name, [unary(between, read), unary(name, between)])
    require_still_valid(index, "any")
    order = index.in_data_order(index.names())
    for name in order:
        assert all(order.index(tensor.node) < order.index(name) for tensor in index.data_inputs(name))
    index.renew_shapes()
    told = {name: index.shape(Tensor(name)) for name in order}
    message = index.to_graph_def()
    anew = shapes.infer(message)
    assert told == {node.name: anew.of(node.name).shape for node in message.node}


def test_tells_a_cycle_that_a_change_closed(graph):
    index = index_of(chain(graph, 4))
    index.set_inputs("n1", ["n3", "c"])
    with pytest.raises(StepError, match="waits for itself") as raised:
        require_still_valid(index, "turning")
    assert raised.value.reason == "RULE_BROKE_GRAPH"


def test_takes_no_cycle_for_one_where_nodes_come_behind_the_one_that_they_were_put_beside(graph):
    index = index_of(chain(graph, 4))
    index.add([unary("later", "n3")], beside="n1")
    require_still_valid(index, "adding")
    assert index.in_data_order(["later", "n3", "n1"]) == ["n1", "n3", "later"]


def test_tells_who_reads_what_was_removed(graph):
    index = index_of(chain(graph, 4))
    index.retain([name for name in index.names() if name != "n1"])
    with pytest.raises(StepError, match="reads 'n1', which is not there"):
        require_still_valid(index, "removing")


def test_hands_the_message_on_without_copies(graph):
    index = index_of(chain(graph, 4))
    index.replace("n1", [unary("new", "n0"), unary("n1", "new")])
    index.redirect("n2", Tensor("n1"))
    index.remove_unused(["n2"])
    index.add([unary("last", "n3")], beside="n3")
    message = index.to_graph_def()
    assert message is graph.message
    assert [node.name for node in message.node] == ["x", "c", "n0", "new", "n1", "n3", "last"]
    assert index.names() == ("x", "c", "n0", "new", "n1", "n3", "last")
    index.set_inputs("last", ["n0"])
    assert list(index.to_graph_def().node[-1].input) == ["n0"]


def test_keeps_a_renamed_node_and_not_the_one_whose_name_it_got(graph):
    index = index_of(chain(graph, 3))
    index.redirect("n0", Tensor("c"))
    index.remove_unused(["n0"])
    index.rename({"n1": "n0"})
    assert [node.name for node in index.to_graph_def().node] == ["x", "c", "n0", "n2"]


def test_lets_the_oldest_arrays_go():
    arrays, large = RecentArrays(), np.zeros(_MOST_BYTES // 2 - 8, np.uint8)
    for name in ("first", "second", "third"):
        arrays.put(name, large)
    assert arrays.get("first") is None
    assert arrays.get("second") is large
    arrays.forget("second")
    arrays.put("fourth", large)
    assert arrays.get("third") is large
