"""Patterns and where they match."""

from dataclasses import dataclass

import numpy as np
import pytest
from modelmill_rewriter._graph_index import GraphIndex
from modelmill_rewriter._matcher import Matcher
from modelmill_rewriter.rules_api import Target, Tensor, constant, either, maybe, op, relu, value


@dataclass
class Search:
    pattern: object
    matcher: Matcher

    def at(self, name):
        return list(self.matcher.matches(name))


@pytest.fixture
def search(graph):
    def start(pattern):
        return Search(pattern, Matcher(pattern, GraphIndex(graph.message, graph.interface), Target()))

    graph.placeholder("x", (-1, 2))
    graph.placeholder("y", (-1, 2))
    return start


def test_matches_a_sum_in_either_order(graph, search):
    graph.node("relu", "Relu", "x")
    graph.node("sum", "AddV2", "y", "relu")
    (match,) = search(relu(value("a")) + value("b")).at("sum")
    assert (match["a"], match["b"]) == (Tensor("x"), Tensor("y"))
    assert match.nodes == ("sum", "relu")


def test_does_not_commute_a_difference(graph, search):
    graph.node("relu", "Relu", "x")
    graph.node("difference", "Sub", "y", "relu")
    assert search(relu(value("a")) - value("b")).at("difference") == []


def test_a_variable_that_occurs_twice_stands_for_one_tensor(graph, search):
    graph.node("same", "Mul", "x", "x")
    graph.node("different", "Mul", "x", "y")
    square = search(value("a") * value("a"))
    assert square.at("same")
    assert not square.at("different")


def test_tells_outputs_of_one_node_apart(graph, search):
    graph.node("split", "Split", "x", "y")
    graph.node("product", "Mul", "split", "split:1")
    assert not search(value("a") * value("a")).at("product")
    assert search(value("a") * op("Split", value("b"), value("c"), output=1)).at("product")
    assert not search(value("a") * op("Split", value("b"), value("c"), output=2)).at("product")


def test_sees_through_identities_but_counts_them_as_part_of_the_match(graph, search):
    graph.node("relu", "Relu", "x")
    graph.node("read", "Identity", "relu")
    graph.node("again", "Identity", "read")
    graph.node("negative", "Neg", "again")
    (match,) = search(-relu(value("a"))).at("negative")
    assert match.nodes == ("negative", "again", "read", "relu")


def test_does_not_see_through_an_identity_that_waits_for_something(graph, search):
    graph.node("relu", "Relu", "x")
    graph.node("read", "Identity", "relu", "^y")
    graph.node("negative", "Neg", "read")
    assert not search(-relu(value("a"))).at("negative")


def test_does_not_see_through_an_input_of_the_model(graph, search):
    graph.node("relu", "Relu", "x")
    graph.node("read", "Identity", "relu")
    graph.node("negative", "Neg", "read")
    graph.inputs.append("read")
    assert not search(-relu(value("a"))).at("negative")


def test_a_number_matches_a_constant_that_equals_it_everywhere(graph, search):
    graph.constant("twos", [2, 2])
    graph.constant("mixed", [2, 3])
    graph.node("doubled", "Mul", "twos", "x")
    graph.node("scaled", "Mul", "mixed", "x")
    double = search(value("a") * 2)
    assert double.at("doubled")
    assert not double.at("scaled")


def test_a_constant_is_computed_from_constants(graph, search):
    graph.constant("three", 3)
    graph.constant("one", 1)
    graph.node("two", "Sub", "three", "one")
    graph.node("product", "Mul", "x", "two")
    (match,) = search(value("a") * constant("b", lambda array: array == 2)).at("product")
    assert match.constant("b") == np.float32(2)
    assert match.constant("a") is None


def test_takes_the_first_alternative_first_and_goes_back_for_the_others(graph, search):
    graph.node("relu", "Relu", "x")
    graph.node("sum", "Add", "relu", "relu")
    matches = search(either(relu(value("a")), value("b")) + relu(value("c"))).at("sum")
    assert "a" in matches[0]
    assert any("b" in match for match in matches)


def test_an_optional_operation_may_be_missing(graph, search):
    graph.node("biased", "BiasAdd", "x", "y")
    graph.node("with", "Relu", "biased")
    graph.node("without", "Relu", "x")
    pattern = search(relu(maybe(op("BiasAdd", value("a"), value("bias")))))
    assert pattern.at("with")[0]["bias"] == Tensor("y")
    (match,) = pattern.at("without")
    assert match["a"] == Tensor("x")
    assert "bias" not in match


def test_counts_operands_unless_the_pattern_is_open_ended(graph, search):
    graph.node("print", "Print", "x", "y")
    assert not search(op("Print", value("a"))).at("print")
    assert search(op("Print", value("a"), open_ended=True)).at("print")
    assert not search(op("Print", value("a"), value("b"), value("c"), open_ended=True)).at("print")


def test_a_condition_on_the_node_must_hold(graph, search):
    graph.node("pool", "MaxPool", "x", data_format=b"NCHW")
    assert not search(op("MaxPool", value("a"), where=lambda node: node.attr["data_format"].s == b"NHWC")).at("pool")
    assert search(op("MaxPool", value("a"), where=lambda node: node.attr["data_format"].s == b"NCHW")).at("pool")


def test_a_bare_variable_is_no_pattern(search):
    with pytest.raises(TypeError, match="must be an operation"):
        search(value("a"))
