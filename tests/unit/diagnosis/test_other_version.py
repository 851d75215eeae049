"""What the table says of failures as tools tell them: one for each row, with the lines of a log that it is found by."""

import pytest
from modelmill.diagnosis import other_version
from modelmill.diagnosis.version_signatures import SIGNATURES
from modelmill.diagnosis.versions import signature_of
from modelmill.errors import Failure, Fault
from modelmill.values import Direction

NEWER, OLDER, ANY = Direction.NEWER, Direction.OLDER, Direction.ANY


def refused(log: str) -> Failure:
    """What a converter said no with."""
    return Failure("CONVERTER_REFUSED", "TensorFlow's converter refused the graph.", Fault.TOOL, {}, log)


def raised(log: str) -> Failure:
    """An exception that left a plug-in."""
    return Failure("PLUGIN_RAISED", "The conversion tool stopped with an exception.", Fault.TOOL, {}, log)


def crashed(signal: str, log: str = "") -> Failure:
    message = f"The conversion tool crashed in its native code ({signal})."
    return Failure("STEP_SIGNALLED", message, Fault.TOOL, {"signal": signal}, log)


def too_far_off(tolerance: float) -> Failure:
    return Failure("VERIFICATION_FAILED", "tflite differs.", Fault.TOOL, {"tolerance": tolerance})


ROWS = {
    "no-min-max": (
        crashed(
            "SIGABRT",
            "F tensorflow/lite/toco/graph_transformations/quantize.cc:156] Array output does not have MinMax "
            "information, and is not a constant array. Cannot proceed with quantization.\nAborted (core dumped)",
        ),
        None,
    ),
    "no-min-max-input": (
        refused(
            "F tensorflow/lite/toco/tooling_util.cc:1702] Array conv/Relu6, which is an input to the Conv operator "
            "producing the output array conv_1/Relu6, is lacking min/max data, which is necessary for quantization."
        ),
        None,
    ),
    "no-representative-data": (
        raised("ValueError: representative_dataset is required when specifying TFLITE_BUILTINS_INT8 or INT8."),
        None,
    ),
    "output-not-in-graph": (
        crashed(
            "SIGABRT",
            "F tensorflow/lite/toco/tooling_util.cc:918] Check failed: Output array not found: "
            "TFLite_Detection_PostProcess",
        ),
        None,
    ),
    "beyond-2gb": (raised("ValueError: Message tensorflow.GraphDef exceeds maximum protobuf size of 2GB: 2371"), None),
    "training-switch": (
        crashed(
            "SIGABRT",
            "F resolve_tensorflow_switch.cc:101] Check failed: other_op->type == OperatorType::kTensorFlowMerge ",
        ),
        None,
    ),
    "training-batch-norm": (
        crashed(
            "SIGABRT",
            "F resolve_batch_normalization.cc:42] Check failed: IsConstantParameterArray(*model, bn_op->inputs[1]) "
            "Batch normalization resolution requires that mean, multiplier and offset arrays be constant.",
        ),
        None,
    ),
    "attribute-unknown": (
        raised(
            "ValueError: NodeDef mentions attr 'explicit_paddings' not in Op<name=Conv2D; signature=input:T, filter:T "
            "-> output:T>; NodeDef: {{node conv1/Conv2D}}. (Check whether your GraphDef-interpreting binary is up to "
            "date with your GraphDef-generating binary.)."
        ),
        NEWER,
    ),
    "operation-unknown": (
        raised("NotFoundError: Op type not registered 'BatchMatMulV3' in binary running on worker."),
        NEWER,
    ),
    "merge-predicates": (
        refused("Merge of two inputs that differ on more than one predicate {s(cond/pred_id:0,then)}"),
        NEWER,
    ),
    "freeze-placeholder": (
        raised("ValueError: Cannot find the Placeholder op that is an input to the ReadVariableOp."),
        NEWER,
    ),
    "freeze-variable": (
        raised("ValueError: Cannot find the variable that is an input to the ReadVariableOp."),
        NEWER,
    ),
    "keras-save-spec": (raised("AttributeError: 'Sequential' object has no attribute '_get_save_spec'"), OLDER),
    "graph-not-readable": (
        Failure("GRAPH_NOT_READABLE", "TensorFlow 1.9.0 cannot read this graph: it is damaged.", Fault.TOOL),
        NEWER,
    ),
    "keras-not-readable": (
        Failure(
            "KERAS_MODEL_UNREADABLE",
            "The Keras of TensorFlow 2.21.0 cannot load this model: Unrecognized keyword arguments.",
            Fault.TOOL,
            {},
            "ValueError: Unrecognized keyword arguments passed to DepthwiseConv2D: {'groups': 1}",
        ),
        ANY,
    ),
    "toco-rnn-state": (
        crashed(
            "SIGABRT",
            "F tensorflow/contrib/lite/toco/graph_transformations/quantize.cc:463] Check failed: is_rnn_state_array ",
        ),
        NEWER,
    ),
    "toco-control-flow": (
        refused("TensorFlow Lite currently doesn't support control flow ops: Merge, Switch. We are working on it"),
        NEWER,
    ),
    "toco-resource": (
        crashed("SIGABRT", "F import_tensorflow.cc:2619] Unsupported data type in placeholder op: 20"),
        NEWER,
    ),
    "toco-unknown-shape": (
        crashed("SIGABRT", "F toco/model.h:1844] Check failed: array->has_shape() "),
        NEWER,
    ),
    "toco-free-dimension": (
        raised("ValueError: None is only supported in the 1st dimension. Tensor 'x' has invalid shape '[1, None, 3]'."),
        NEWER,
    ),
    "toco-operation": (
        crashed(
            "SIGABRT",
            "I import_tensorflow.cc:1336] Converting unsupported operation: Abs\n"
            "I import_tensorflow.cc:1385] Unable to determine output type for op: Abs",
        ),
        NEWER,
    ),
    "dynamic-shape": (
        Failure("DYNAMIC_SHAPE", "The input x has the shape [-1, -1], which TOCO cannot take.", Fault.INPUT),
        NEWER,
    ),
    "mlir-operation": (
        refused("error: 'tf.ResizeBicubic' op is neither a custom op nor a flex op"),
        NEWER,
    ),
    "quantise-dequantize": (refused("RuntimeError: Quantization not yet supported for op: 'DEQUANTIZE'."), ANY),
    "quantise-unnamed": (refused("RuntimeError: Quantization not yet supported for op: %"), NEWER),
    "quantise-operation": (refused("RuntimeError: Quantization not yet supported for op: 'NEG'."), NEWER),
    "quantise-subgraphs": (
        raised(
            "ERROR: Only models with a single subgraph are supported, model had 3 subgraphs\n"
            "SystemError: <built-in function QuantizeModel> factory function returned nullptr"
        ),
        NEWER,
    ),
    "quantise-factory": (raised("TypeError: pybind11::init(): factory function returned nullptr"), NEWER),
    "quantise-weights": (
        refused("Quantize weights tool only supports tflite models with one subgraph."),
        NEWER,
    ),
    "broadcast-add": (
        crashed("SIGABRT", "tensorflow/lite/kernels/internal/reference/add.h BroadcastAdd4DSlow: Aborted"),
        ANY,
    ),
    "builtin-version": (
        Failure(
            "MODEL_RUN_FAILED",
            "The interpreter could not run the model.",
            Fault.TOOL,
            {},
            "ValueError: Didn't find op for builtin opcode 'CONV_2D' version '5'\nRegistration failed.",
        ),
        NEWER,
    ),
    "interpreter-too-old": (Failure("INTERPRETER_TOO_OLD", "It is older than the model.", Fault.TOOL), NEWER),
    "interpreter-lacks-operator": (
        Failure("INTERPRETER_LACKS_OPERATOR", "It was built without the custom operator Neg.", Fault.TOOL),
        ANY,
    ),
    "interpreter-failed": (
        Failure(
            "INTERPRETER_FAILED",
            "TFLite's interpreter of TensorFlow 1.12.3 failed to prepare the operator PRELU (node 3).",
            Fault.TOOL,
            {},
            "RuntimeError: kernels/activations.cc:240 3 != 1 Node number 3 (PRELU) failed to prepare.",
        ),
        ANY,
    ),
    "quantised-scales": (
        Failure(
            "MODEL_RUN_FAILED",
            "The interpreter could not run the model.",
            Fault.TOOL,
            {},
            "RuntimeError: tensorflow/lite/kernels/kernel_util.cc num_scales must be 1 for per-layer quantization",
        ),
        NEWER,
    ),
    "tfjs-fused": (refused("ValueError: Unsupported Ops in the model after optimization\n_FusedMatMul"), ANY),
    "tfjs-switch": (raised("KeyError: <tf.Tensor 'dropout/cond/Switch_1:0' shape=(?, 512) dtype=float32>"), OLDER),
    "tfjs-too-new": (
        raised("ImportError: cannot import name 'convert_to_constants' from 'tensorflow.python.framework'"),
        NEWER,
    ),
    "no-such-converter": (
        Failure(
            "CONVERTER_NOT_AVAILABLE", "TensorFlow 2.21 has no converter TOCO; TensorFlow 1.5 to below 2.18 has it."
        ),
        ANY,
    ),
    "no-such-quantization": (
        Failure(
            "QUANTIZATION_NOT_AVAILABLE", "TensorFlow 2.15 cannot quantise as qat_uint8. Convert with TensorFlow 1.15."
        ),
        ANY,
    ),
    "no-such-option": (
        Failure("OPTION_NOT_AVAILABLE", "TensorFlow 1.9 does not have the option allow_select_tf_ops."),
        ANY,
    ),
    "no-such-source": (
        Failure("SOURCE_NOT_AVAILABLE", "TensorFlow 1.5 does not convert a SavedModel."),
        ANY,
    ),
    "second-output": (
        Failure("OUTPUT_NOT_ADDRESSABLE", "This version converts the first output of a node only.", Fault.TOOL),
        NEWER,
    ),
    "operation-unsupported": (
        Failure("UNSUPPORTED_OPERATION", "TFLite has no operator for MatrixInverse at inverse.", Fault.TOOL),
        NEWER,
    ),
    "toco-failed": (raised("RuntimeError: TOCO failed see console for info.\nI info only\n"), ANY),
    "converter-refused": (refused("something that nobody has seen before"), ANY),
    "converter-gave-rubbish": (
        Failure("TFLITE_UNREADABLE", "What the converter gave is not a TFLite model.", Fault.TOOL),
        ANY,
    ),
    "version-not-driven": (
        Failure("TENSORFLOW_UNSUPPORTED", "TensorFlow 2.22.0 has no converter that this plug-in drives."),
        ANY,
    ),
    "crashed": (crashed("SIGSEGV"), ANY),
    "wrong-numbers": (too_far_off(1e-4), ANY),
}


@pytest.mark.parametrize("row", ROWS)
def test_finds_the_row_by_what_the_tool_says(row: str) -> None:
    failure, direction = ROWS[row]
    found = signature_of(failure)
    assert found is not None
    assert found.id == row
    assert other_version(failure) is direction


def test_every_row_of_the_table_is_tested_once() -> None:
    assert sorted(ROWS) == sorted(signature.id for signature in SIGNATURES)


@pytest.mark.parametrize(
    "failure",
    [
        Failure("INVALID_OPTION", "The option does not fit.", Fault.INPUT, {}, "Op type not registered 'Foo'"),
        Failure("STEP_CANCELLED", "The step was cancelled.", Fault.CANCELLATION, {}, "Op type not registered 'Foo'"),
        Failure("WORKER_LOST", "It died.", Fault.INFRASTRUCTURE, {}, "Op type not registered 'Foo'"),
        Failure("STEP_DEADLINE_EXCEEDED", "It ran too long.", Fault.TOOL),
        Failure("STEP_OUT_OF_MEMORY", "It used too much.", Fault.TOOL),
        crashed("SIGKILL"),
        too_far_off(0.25),
    ],
    ids=lambda failure: failure.reason,
)
def test_no_other_version_helps_against_what_is_not_a_versions_doing(failure: Failure) -> None:
    assert other_version(failure) is None
