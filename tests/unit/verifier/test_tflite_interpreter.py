"""What errors of TFLite's interpreter mean; the texts are those of the versions named."""

import pytest
from modelmill_verifier.tflite_interpreter import explain

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")


@pytest.mark.parametrize(
    ("text", "reason", "details"),
    [
        (  # 1.11 to 2.21
            "Didn't find op for builtin opcode 'CONV_2D' version '2'\nRegistration failed.\n",
            "INTERPRETER_TOO_OLD",
            {"operator": "CONV_2D", "version": 2},
        ),
        (  # 1.9
            "Failed to allocate tensors: Didn't find op for builtin opcode 'FULLY_CONNECTED'\n\nRegistration failed.\n",
            "INTERPRETER_TOO_OLD",
            {"operator": "FULLY_CONNECTED", "version": None},
        ),
        (  # 1.13
            "Regular TensorFlow ops are not supported by this interpreter. Make sure you invoke the Flex delegate "
            "before inference.Node number 0 (FlexErf) failed to prepare.\n",
            "INTERPRETER_LACKS_OPERATOR",
            {"operator": "Flex"},
        ),
        (  # 2.21
            "Encountered unresolved custom op: edgetpu-custom-op.\nSee instructions: https://www.tensorflow.org/lite/"
            "guide/ops_custom Node number 0 (edgetpu-custom-op) failed to prepare.Failed to apply the default "
            "TensorFlow Lite delegate indexed at 0.",
            "INTERPRETER_LACKS_OPERATOR",
            {"operator": "edgetpu-custom-op"},
        ),
        (  # 2.3
            "Node number 0 (CONV_2D) failed to invoke.\n",
            "INTERPRETER_FAILED",
            {"operator": "CONV_2D", "node": 0, "line": "Node number 0 (CONV_2D) failed to invoke."},
        ),
        (  # 1.10
            "Interpreter was not initialized.",
            "INTERPRETER_FAILED",
            {"operator": "", "node": None, "line": "Interpreter was not initialized."},
        ),
        (  # 2.15
            "Could not open 'model.tflite'.",
            "MODEL_RUN_FAILED",
            {"line": "Could not open 'model.tflite'.", "exception": "ValueError"},
        ),
    ],
)
def test_tells_the_interpreters_failures_from_the_models(text, reason, details):
    found = explain(ValueError(text))
    assert found.reason == reason
    assert found.details == details
    assert tf.__version__ in found.message
