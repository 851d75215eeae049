import pytest
from modelmill_worker import Edge, Plugin, Role
from modelmill_worker.requirements import runs_in


def plugin(*requires_of_edges):
    edges = [Edge(str(number), Role.RUN, (), "x", print, requires=r) for number, r in enumerate(requires_of_edges)]
    return Plugin("p", "1", "s", tuple(edges))


@pytest.mark.parametrize(
    ("edges", "provides", "expected"),
    [
        ([("tensorflow>=1.15,<2.22",)], {"tensorflow": "2.15.1"}, True),
        ([("tensorflow>=1.15,<2.22",)], {}, False),
        ([("Tensor_Flow[and-cuda] >= 1",)], {"tensor.flow": "1"}, True),
        ([("tensorflow", "tensorflowjs==4.22")], {"tensorflow": "2"}, False),
        ([(), ("tensorflow",)], {}, False),
        ([("tensorflowjs",), ("tensorflow",)], {"tensorflow": "2"}, True),
        ([()], {}, True),
    ],
)
def test_runs_where_an_edge_finds_what_it_names(edges, provides, expected):
    assert runs_in(plugin(*edges), provides) is expected
