"""The net as a Keras model, trained by `fit` and saved in each form that this version's `tf.keras` has."""

import os
import zipfile

import numpy as np
import task
import tensorflow as tf


def write_h5(folder):
    """`model.h5`, the form of Keras 2 that Keras 3 still writes."""
    model = _trained()
    model.save(os.path.join(folder, "model.h5"))
    _write_golden(model, folder)


def write_keras(folder):
    """`model.keras`, the archive that Keras writes from 2.13 on; older ones write HDF5 under that name."""
    model = _trained()
    file = os.path.join(folder, "model.keras")
    model.save(file)
    if not zipfile.is_zipfile(file):
        raise NotImplementedError("Keras {} writes HDF5 under the name of .keras".format(tf.keras.__version__))
    _write_golden(model, folder)


def write_saved_model(folder):
    """A SavedModel as Keras writes it: `save` in Keras 2, `export` in Keras 3, whose `save` writes none."""
    model = _trained()
    path = os.path.join(folder, "model")
    if getattr(tf.keras, "__version__", "2").startswith("3."):
        model.export(path)
    else:
        model.save(path, save_format="tf")
    _write_golden(model, folder)


def _trained():
    if hasattr(tf, "set_random_seed"):
        tf.set_random_seed(1)
    else:
        tf.random.set_seed(1)
    model = _net(tf.keras.layers)
    # Not the object of another name in the next version: only this name is known to all.
    model.compile(optimizer="sgd", loss=["categorical_crossentropy", "mse"])
    images, classes, offsets = task.training_data()
    losses = model.fit(images, [classes, offsets], batch_size=16, epochs=8, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0], "the net learns nothing"
    return model


def _net(layers):
    images = layers.Input([task.SIZE, task.SIZE, 3], name="images")
    x = layers.Conv2D(8, 3, padding="same", name="first")(images)
    x = layers.BatchNormalization(momentum=0.9, name="normal")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = layers.MaxPooling2D(name="pooled")(x)
    x = layers.Conv2D(12, 3, padding="same", activation="relu", name="second")(x)
    x = layers.MaxPooling2D(name="pooled_again")(x)
    x = layers.Dense(16, activation="relu", name="hidden")(layers.Flatten(name="flat")(x))
    scores = layers.Dense(task.CLASSES, activation="softmax", name="scores")(x)
    return tf.keras.Model(images, [scores, layers.Dense(task.OFFSETS, name="offsets")(x)])


def _write_golden(model, folder):
    given = task.golden_images()
    scores, offsets = model.predict(given, batch_size=len(given))
    np.savez(os.path.join(folder, "golden.npz"), images=given, scores=scores, offsets=offsets)
