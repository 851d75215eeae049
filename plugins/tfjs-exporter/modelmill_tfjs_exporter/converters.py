"""tensorflowjs's functions for a frozen graph, driven in this process: each writes ``model.json`` and its weights.

The first argument is the module of tensorflowjs that converts; what it raises is left as it is.
"""

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Callable, Dict, FrozenSet, Iterator

from modelmill_tfjs_exporter.prelu_order import order_additions
from modelmill_tfjs_exporter.request import Request
from modelmill_tfjs_exporter.shared_nodes import leave_shared_nodes

Entry = Dict[str, Any]


def convert_with_dtype_map(converter: Any, request: Request) -> None:
    """From 2.0 on: which type for which weights is a map."""
    chosen = request.weight_quantization
    with _careful_fusions(converter, request):
        converter.convert_tf_frozen_model(
            str(request.graph),
            ",".join(_tensor(output) for output in request.outputs),
            str(request.folder),
            quantization_dtype_map=None if chosen == "none" else {chosen: True},
            skip_op_check=request.skip_op_check,
            weight_shard_size_bytes=request.shard_size,
        )


def convert_with_dtype(converter: Any, request: Request) -> None:
    """1.x: one type for all weights, which are those of float32."""
    with _careful_fusions(converter, request):
        converter.convert_tf_frozen_model(
            str(request.graph),
            ",".join(_tensor(output) for output in request.outputs),
            str(request.folder),
            quantization_dtype=_dtype(request),
            skip_op_check=request.skip_op_check,
            weight_shard_size_bytes=request.shard_size,
        )


def convert_with_first_model_json(converter: Any, request: Request) -> None:
    """0.8: outputs are nodes, and neither the size of a shard nor what is quantised can be asked for.

    Both are decided in tensorflowjs's module ``write_weights``, two functions of which are replaced meanwhile. As it
    is, 0.8 quantises whole numbers and truth values as well: the shape that a Reshape takes would come out as another.
    """
    writer = converter.write_weights
    in_shards = partial(writer.write_weights, shard_size_bytes=request.shard_size)
    with _replaced(writer, "_quantize_entry", _only_floats(writer._quantize_entry)):
        with _replaced(writer, "write_weights", in_shards):
            converter.convert_tf_frozen_model(
                str(request.graph),
                ",".join(sorted(_nodes(request))),
                str(request.folder),
                quantization_dtype=_dtype(request),
                skip_op_check=request.skip_op_check,
            )


def _tensor(output: str) -> str:
    """A tensor as tensorflowjs names it: without the number of the node's first output."""
    return output[:-2] if output.endswith(":0") else output


def _nodes(request: Request) -> FrozenSet[str]:
    """The nodes that give the outputs."""
    return frozenset(output.split(":")[0] for output in request.outputs)


def _dtype(request: Request) -> Any:
    import numpy as np

    return None if request.weight_quantization == "none" else getattr(np, request.weight_quantization)


def _only_floats(quantize: Callable[[Entry, Any], Entry]) -> Callable[[Entry, Any], Entry]:
    """Quantise weights of float32, and leave others as they are."""

    def quantize_floats(entry: Entry, dtype: Any) -> Entry:
        return quantize(entry, dtype) if entry["data"].dtype == "float32" else entry

    return quantize_floats


@contextmanager
def _careful_fusions(converter: Any, request: Request) -> Iterator[None]:
    """Keep tensorflowjs's own fusions, which run between those of Grappler, from what they get wrong."""
    outputs = _nodes(request)
    fuse_prelus = converter.fuse_prelu.fuse_ops_for_prelu

    def order_and_fuse(graph: Any) -> Any:
        order_additions(graph, outputs)
        return fuse_prelus(graph)

    with ExitStack() as stack:
        stack.enter_context(_replaced(converter.fuse_prelu, "fuse_ops_for_prelu", order_and_fuse))
        for module, name in (
            (converter.fold_batch_norms, "fold_batch_norms"),
            (converter.fuse_depthwise_conv2d, "fuse_depthwise_conv2d"),
        ):
            careful = leave_shared_nodes(getattr(module, name), outputs)
            stack.enter_context(_replaced(module, name, careful))
        yield


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)
