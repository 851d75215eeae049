"""The handwritten digits that the graphs of these tests learn: 1,500 to train on, 500 to be measured on."""

import os

import numpy as np

SIZE = 28
CLASSES = 10
TRAINED_ON = 1500


def load():
    """Images [2000, 28, 28, 1] of uint8 and labels [2000] of int64."""
    with np.load(os.environ["MNIST"]) as data:
        return data["images"][..., np.newaxis], data["labels"]


def training_data():
    """The part to learn from."""
    images, labels = load()
    return images[:TRAINED_ON], labels[:TRAINED_ON]


def unseen_data():
    """The part to be measured on."""
    images, labels = load()
    return images[TRAINED_ON:], labels[TRAINED_ON:]
