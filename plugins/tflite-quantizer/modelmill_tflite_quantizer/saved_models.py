"""Which signature of a SavedModel is converted, read without loading it."""

from typing import Sequence

from modelmill_worker import Tree, saved_model

from modelmill_tflite_quantizer.sources import SavedModel

#: Where TensorFlow 2 tells how to initialise a model.
_INITIALISER = "__saved_model_init_op"


def read(tree: Tree, key: str, tags: Sequence[str]) -> SavedModel:
    """The SavedModel in an artifact; key and tags, and the errors raised, as those of `saved_model.read`."""
    path = saved_model.find(tree)
    model = saved_model.read(path, key, tags)
    signature = model.called()
    return SavedModel(
        path=path,
        tags=model.tags,
        key=model.signature_key,
        functions=_INITIALISER in model.meta_graph.signature_def,
        signature=signature,
    )
