"""The texts are what TensorFlow 1.5 to 2.15 said, shortened where the middle tells nothing."""

import pytest
from modelmill_tflite_quantizer.refusals import (
    conversion_refused,
    refuse_custom_operators,
    telling_line,
    unsupported_operations,
)
from modelmill_tflite_quantizer.request import Request
from modelmill_tflite_quantizer.sources import FrozenGraph
from modelmill_worker import StepError, graph_def
from modelmill_worker.signature import Signature

TOCO = """We are continually in the process of adding support to TensorFlow Lite for more ops.
 and pasting the following:

Some of the operators in the model are not supported by the standard TensorFlow Lite runtime. \
Here is a list of builtin operators you are using: ADD. \
Here is a list of operators for which you will need custom implementations: MatrixDeterminant, MatrixInverse."""

MLIR = """Could not translate MLIR to FlatBuffer. UNKNOWN: <unknown>:0: error: \
loc(fused["MatrixInverse:", "scope/inverse"]): 'tf.MatrixInverse' op is neither a custom op nor a flex op
<unknown>:0: note: loc(fused["MatrixInverse:", "scope/inverse"]): Error code: ERROR_NEEDS_FLEX_OPS
<unknown>:0: error: failed while converting: 'main':
Some ops are not supported by the native TFLite runtime, you can enable TF kernels fallback using TF Select.
TF Select ops: MatrixDeterminant, MatrixInverse
Details:
\ttf.MatrixInverse(tensor<?x4x4xf32>) -> (tensor<?x4x4xf32>) : {adjoint = false, device = ""}

"""

CONTRIB = """2018: F tensorflow/contrib/lite/toco/tflite/export.cc:386] Some of the operators in the model are not \
supported by the standard TensorFlow Lite runtime. Here is a list of operators for which  you will need custom \
implementations: MatrixDeterminant, MatrixInverse.
TOCO was ended by SIGABRT."""

LACKING = """2018: F tensorflow/contrib/lite/toco/tooling_util.cc:1621] Array conv/out, which is an \
input to the Add operator producing the output array sum, is lacking min/max data, which is necessary for \
quantization. If accuracy matters, either target a non-quantized output format, or run quantized training
TOCO was ended by SIGABRT."""

CHECK = """2018: F tensorflow/contrib/lite/toco/tooling_util.cc:2110] Check failed: array.data_type == \
array.final_data_type Array "w3" has mis-matching actual and final data types (uint8, float).
TOCO was ended by SIGABRT."""

LSTM = """<unknown>:0: error: Lowering tensor list ops is failed. Please consider using Select TF ops and disabling \
`_experimental_lower_tensor_list_ops` flag in the TFLite converter object."""

MINMAX = """TOCO failed see console for info.
2018-01-01 00:00:00.000000: I tensorflow/contrib/lite/toco/import_tensorflow.cc:1189] Converting
2018-01-01 00:00:00.000000: F tensorflow/contrib/lite/toco/graph_transformations/quantize.cc:129] Array output does \
not have MinMax information, and is not a constant array. Cannot proceed with quantization.
Aborted (core dumped)
"""


@pytest.mark.parametrize("text", [TOCO, MLIR, CONTRIB])
def test_lists_the_operations_that_a_converter_lacks(text):
    assert unsupported_operations(text) == ["MatrixDeterminant", "MatrixInverse"]


def test_lists_an_operation_that_tensorflow_itself_does_not_know():
    text = "Op type not registered 'TFLite_Detection_PostProcess' in binary running on host."
    assert unsupported_operations(text) == ["TFLite_Detection_PostProcess"]


def test_lists_custom_operations():
    text = "Some ops in the model are custom ops, See instructions\nCustom ops: Foo, Bar\nDetails:\n\ttf.Foo()"
    assert unsupported_operations(text) == ["Bar", "Foo"]


def test_finds_the_line_of_a_failed_check_before_its_aftermath():
    assert "does not have MinMax information" in telling_line(MINMAX)


def test_takes_the_last_line_where_no_line_stands_out():
    assert telling_line("first\nsecond\n\n") == "second"
    assert telling_line("") == ""


@pytest.fixture
def request_for_inverse(tmp_path):
    graph = graph_def.new_graph()
    graph.node.extend(
        [
            graph_def.new_node("x", "Placeholder"),
            graph_def.new_node("scope/inverse", "MatrixInverse", ("x",)),
        ]
    )
    graph_def.write(tmp_path / "graph.pb", graph)
    signature = Signature((), ())
    return lambda **changes: Request(FrozenGraph(tmp_path / "graph.pb", signature), signature, **changes)


def test_names_the_nodes_of_unsupported_operations(request_for_inverse):
    error = conversion_refused(RuntimeError(MLIR), request_for_inverse())

    assert error.reason == "UNSUPPORTED_OPERATION"
    assert error.fault == "TOOL"
    assert error.details["operations"] == ["MatrixDeterminant", "MatrixInverse"]
    assert error.details["nodes"] == [{"node": "scope/inverse", "operation": "MatrixInverse"}]
    assert "scope/inverse (MatrixInverse)" in error.message
    assert "allow_select_tf_ops" in error.message


def test_does_not_advise_what_was_done_already(request_for_inverse):
    error = conversion_refused(RuntimeError(TOCO), request_for_inverse(allow_select_tf_ops=True))

    assert "allow_select_tf_ops" not in error.message
    assert "allow_custom_ops" in error.message


def test_other_refusals_keep_the_telling_line_and_the_text(request_for_inverse):
    error = conversion_refused(RuntimeError(CHECK), request_for_inverse(converter="toco"))

    assert error.reason == "CONVERTER_REFUSED"
    assert "mis-matching" in error.details["line"]
    assert error.log_tail == CHECK


def test_an_array_without_a_trained_range(request_for_inverse):
    error = conversion_refused(RuntimeError(MINMAX), request_for_inverse(converter="toco"))

    assert error.reason == "MISSING_QUANTIZATION_RANGES"
    assert error.details["array"] == "output"
    assert "quantization=float" in error.message


def test_an_input_of_an_operator_without_a_trained_range(request_for_inverse):
    error = conversion_refused(RuntimeError(LACKING), request_for_inverse(converter="toco"))

    assert error.reason == "MISSING_QUANTIZATION_RANGES"
    assert {name: error.details[name] for name in ("array", "operator", "output")} == {
        "array": "conv/out",
        "operator": "Add",
        "output": "sum",
    }


def test_a_loop_with_an_unknown_batch(request_for_inverse):
    error = conversion_refused(RuntimeError(LSTM), request_for_inverse())

    assert (error.reason, error.details["option"]) == ("DYNAMIC_SHAPE", "input_shapes")


def test_custom_operators_that_nobody_allowed_are_refused(request_for_inverse):
    with pytest.raises(StepError) as caught:
        refuse_custom_operators(["MATRIXINVERSE"], request_for_inverse())
    assert caught.value.details["nodes"] == [{"node": "scope/inverse", "operation": "MatrixInverse"}]
    refuse_custom_operators(["MatrixInverse"], request_for_inverse(allow_custom_ops=True))
    refuse_custom_operators(["FlexMatrixInverse"], request_for_inverse(allow_select_tf_ops=True))
