"""What a Keras model's inputs and outputs are called, whichever Keras has loaded it.

Whoever runs a model and whoever converts it must call them alike, for outputs are compared by name. So the names come
from the layers, which every Keras reads from the file: a tensor's own name may count what the process has made before.
"""

from collections import Counter
from typing import Any, Dict, Iterable, Tuple


def input_names(model: Any) -> Tuple[str, ...]:
    """The names of ``model.inputs``, in their order: Keras 2's ``input_names``, Keras 3's input layers."""
    told = getattr(model, "input_names", None)
    return tuple(told) if told else _unique(_layer_name(tensor) for tensor in model.inputs)


def output_names(model: Any) -> Tuple[str, ...]:
    """The names of ``model.outputs``, in their order: ``output_names`` where there are, else the layers' names."""
    told = getattr(model, "output_names", None)
    return _unique(told) if told else _unique(_layer_name(tensor) for tensor in model.outputs)


def _layer_name(tensor: Any) -> str:
    """The layer that made a tensor. Keras 2 calls it `layer`, Keras 3 `operation`; both keep it in the history."""
    history = tensor._keras_history
    layer = history.operation if hasattr(history, "operation") else history[0]
    return str(layer.name)


def _unique(names: Iterable[str]) -> Tuple[str, ...]:
    """The names, with _1, _2 and so on for those of a layer that makes several outputs, as Keras 2 does it."""
    seen: Dict[str, int] = Counter()
    made = []
    for name in names:
        made.append("{}_{}".format(name, seen[name]) if seen[name] else name)
        seen[name] += 1
    return tuple(made)
