"""Failures that another version of TensorFlow may not have, and some that look like it but that every version has.

Each row was reported by users of TensorFlow, or is what a plug-in of ours says; the first row that fits counts, so what
says more stands before what says less. A row is found by its reason, by what the failure's message or the end of
its log says, or by both.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelmill.values import Direction

NEWER, OLDER, ANY = Direction.NEWER, Direction.OLDER, Direction.ANY


@dataclass(frozen=True)
class Signature:
    """One kind of failure.

    id: unique, and stable.
    pattern: a regular expression that the message or the log has; empty where the reason is enough.
    direction: in which versions the step may succeed; None where every version fails so.
    reason: of the failure; empty for any reason.
    """

    id: str
    pattern: str
    direction: Direction | None
    reason: str = ""


SIGNATURES = (
    # What no version does better: the model or the request must change.
    Signature("no-min-max", r"does not have MinMax information, and is not a constant array", None),
    Signature("no-min-max-input", r"is lacking min/max data", None),
    Signature("no-representative-data", r"representative_dataset is required", None),
    Signature("output-not-in-graph", r"Output array not found: \S+|AssertionError: \S+ is not in graph", None),
    Signature("beyond-2gb", r"exceeds maximum protobuf size of 2GB|Model size is bigger than 2gb", None),
    Signature("training-switch", r"other_op->type == OperatorType::kTensorFlowMerge", None),
    Signature("training-batch-norm", r"requires that mean, multiplier and offset arrays be constant", None),
    # Reading the model.
    Signature("attribute-unknown", r"NodeDef mentions attr '\w+' not in Op<name=\w+", NEWER),
    Signature("operation-unknown", r"Op type not registered '\w+'", NEWER),
    Signature("merge-predicates", r"Merge of two inputs that differ on more than one predicate", NEWER),
    Signature("freeze-placeholder", r"Cannot find the Placeholder op that is an input to the ReadVariableOp", NEWER),
    Signature("freeze-variable", r"Cannot find the variable that is an input to the ReadVariableOp", NEWER),
    Signature("keras-save-spec", r"object has no attribute '_get_save_spec'", OLDER),
    Signature("graph-not-readable", "", NEWER, "GRAPH_NOT_READABLE"),
    Signature("keras-not-readable", "", ANY, "KERAS_MODEL_UNREADABLE"),
    # TOCO.
    Signature("toco-rnn-state", r"Check failed: is_rnn_state_array", NEWER),
    Signature("toco-control-flow", r"doesn't support control flow ops", NEWER),
    Signature("toco-resource", r"Unsupported data type in placeholder op: 20", NEWER),
    Signature("toco-unknown-shape", r"Check failed: array->has_shape\(\)", NEWER),
    Signature("toco-free-dimension", r"None is only supported in the 1st dimension", NEWER),
    Signature("toco-operation", r"Converting unsupported operation: \w+|Unable to determine output type for op", NEWER),
    Signature("dynamic-shape", "", NEWER, "DYNAMIC_SHAPE"),
    # The MLIR converter and the quantiser after it.
    Signature("mlir-operation", r"op is neither a custom op nor a flex op", NEWER),
    Signature("quantise-dequantize", r"not yet supported for op: 'DEQUANTIZE'", ANY),
    Signature("quantise-unnamed", r"Quantization not yet supported for op: %", NEWER),
    Signature("quantise-operation", r"Quantization not yet supported for op: '?\w+", NEWER),
    Signature("quantise-subgraphs", r"Only models with a single subgraph are supported", NEWER),
    Signature("quantise-factory", r"factory function returned nullptr", NEWER),
    Signature("quantise-weights", r"Quantize weights tool only supports tflite models with one subgraph", NEWER),
    Signature("broadcast-add", r"BroadcastAdd4DSlow", ANY),
    # Running what was made.
    Signature("builtin-version", r"Didn't find op for builtin opcode '\w+' version '\d+'", NEWER),
    Signature("interpreter-too-old", "", NEWER, "INTERPRETER_TOO_OLD"),
    Signature("interpreter-lacks-operator", "", ANY, "INTERPRETER_LACKS_OPERATOR"),
    Signature("interpreter-failed", "", ANY, "INTERPRETER_FAILED"),
    Signature("quantised-scales", r"num_scales must be 1 for per-layer quantization", NEWER),
    # TensorFlow.js.
    Signature("tfjs-fused", r"Unsupported Ops in the model after optimization", ANY),
    Signature("tfjs-switch", r"KeyError: <tf\.Tensor '.*Switch_1:0'", OLDER),
    Signature("tfjs-too-new", r"cannot import name 'convert_to_constants'", NEWER),
    # What was asked for and this version has not.
    Signature("no-such-converter", "", ANY, "CONVERTER_NOT_AVAILABLE"),
    Signature("no-such-quantization", "", ANY, "QUANTIZATION_NOT_AVAILABLE"),
    Signature("no-such-option", "", ANY, "OPTION_NOT_AVAILABLE"),
    Signature("no-such-source", "", ANY, "SOURCE_NOT_AVAILABLE"),
    Signature("second-output", "", NEWER, "OUTPUT_NOT_ADDRESSABLE"),
    Signature("version-not-driven", "", ANY, "TENSORFLOW_UNSUPPORTED"),
    # What says little: a tool that gave up.
    Signature("operation-unsupported", "", NEWER, "UNSUPPORTED_OPERATION"),
    Signature("toco-failed", r"TOCO failed\.? [Ss]ee console", ANY),
    Signature("converter-refused", "", ANY, "CONVERTER_REFUSED"),
    Signature("converter-gave-rubbish", "", ANY, "TFLITE_UNREADABLE"),
    Signature("crashed", r"\(SIG(ABRT|SEGV|BUS|ILL|FPE)\)", ANY, "STEP_SIGNALLED"),
    Signature("wrong-numbers", "", ANY, "VERIFICATION_FAILED"),
)
