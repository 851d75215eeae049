import pytest
from modelmill_worker import Edge, Plugin, Role
from modelmill_worker.requirements import preloads_in


def plugin(*requires_of_edges, **more):
    edges = [Edge(str(number), Role.RUN, (), "x", print, requires=r) for number, r in enumerate(requires_of_edges)]
    return Plugin("p", "1", "s", tuple(edges), preload=more.get("preload", print))


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
def test_preloads_where_an_edge_finds_what_it_names(edges, provides, expected):
    assert preloads_in(plugin(*edges), provides) is expected


def test_a_plugin_without_the_hook_does_not_preload():
    assert not preloads_in(plugin((), preload=None), {})
