"""TensorFlow's converter APIs, driven in this process: a request in, the bytes of a .tflite out."""

from typing import Any

from modelmill_tflite_quantizer.request import Request


def convert_with_compat_v1(request: Request) -> bytes:
    """``tf.compat.v1.lite.TFLiteConverter``, with the converter that this version takes by default."""
    import tensorflow as tf

    converter = tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(
        str(request.graph), list(request.input_arrays), list(request.output_arrays), dict(request.input_shapes)
    )
    converter.allow_custom_ops = request.allow_custom_ops
    if request.allow_select_tf_ops:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    if request.dynamic_range:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


def convert_with_toco(request: Request) -> bytes:
    """The same API where it runs TOCO, without the second TensorFlow that it would start for that."""
    _keep_toco_in_this_process()
    return convert_with_compat_v1(request)


def _keep_toco_in_this_process() -> None:
    """Make TensorFlow call TOCO directly rather than through the command ``toco_from_protos``.

    The command shields the caller from TOCO's CHECK failures and costs seconds, because it imports
    TensorFlow again. A step process may die, so the shield is not needed.
    """
    from tensorflow.lite.python import convert

    module: Any = convert
    module._toco_from_proto_bin = ""
