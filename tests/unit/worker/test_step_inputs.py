"""Which inputs a step may come with: an edge's own, or any number under names of the caller's."""

import pytest
from modelmill_protos.v1 import artifact_pb2, worker_pb2
from modelmill_worker import Edge, Role, StepError
from modelmill_worker.servicer import check_inputs

PAIR = (("model", "tflite"), ("inputs", "dataset"))
ANY_KIND = (("source", "*"),)
ANY_NUMBER = (("*", "dataset"),)


def check(takes, given):
    edge = Edge("edge", Role.RUN, takes, "dataset", print)
    start = worker_pb2.StepStart(
        plugin="plugin", edge="edge", inputs={name: artifact_pb2.Artifact(kind=kind) for name, kind in given.items()}
    )
    check_inputs(edge, start)


@pytest.mark.parametrize(
    ("takes", "given"),
    [
        (PAIR, {"model": "tflite", "inputs": "dataset"}),
        (ANY_KIND, {"source": "keras.h5"}),
        (ANY_NUMBER, {"tflite@1.9": "dataset"}),
        (ANY_NUMBER, {"tflite@{}".format(number): "dataset" for number in range(30)}),
        ((), {}),
    ],
)
def test_takes_what_the_edge_names(takes, given):
    check(takes, given)


@pytest.mark.parametrize(
    ("takes", "given"),
    [
        (PAIR, {"model": "tflite"}),
        (PAIR, {"model": "tflite", "inputs": "dataset", "more": "dataset"}),
        (PAIR, {"model": "tfjs.graph_model", "inputs": "dataset"}),
        (ANY_KIND, {"model": "keras.h5"}),
        (ANY_NUMBER, {}),
        (ANY_NUMBER, {"a": "dataset", "b": "tflite"}),
    ],
)
def test_refuses_other_names_and_kinds_and_says_what_it_takes(takes, given):
    with pytest.raises(StepError) as caught:
        check(takes, given)
    assert caught.value.reason == "INVALID_INPUT"
    assert caught.value.details == {"expected": dict(takes), "given": given}
