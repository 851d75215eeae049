"""What every net of the matrix learns: in which quarter an image is brightest, and how far to the right and below.

Made up from a seed, the same for every version of TensorFlow.
"""

import numpy as np

SIZE = 12
CLASSES = 4
OFFSETS = 2
STEPS = 30
RATE = 0.05


def training_data():
    """Images [64, 12, 12, 3] from -1 to 1, one-hot classes [64, 4] and offsets [64, 2], all float32."""
    return _made(seed=11, count=64)


def golden_images():
    """Images [4, 12, 12, 3] that no net has trained on."""
    return _made(seed=12, count=4)[0]


def unseen_data():
    """200 images as `golden_images` has 4, with their classes and offsets: what a net's accuracy is measured on."""
    return _made(seed=13, count=200)


def _made(seed, count):
    random = np.random.RandomState(seed)
    images = random.uniform(-0.4, 0.4, [count, SIZE, SIZE, 3])
    classes = random.randint(0, CLASSES, [count])
    half = SIZE // 2
    for image, brightest in zip(images, classes):
        down, right = divmod(int(brightest), 2)
        image[down * half : (down + 1) * half, right * half : (right + 1) * half] += 0.6
    right = images[:, :, half:].mean(axis=(1, 2, 3)) - images[:, :, :half].mean(axis=(1, 2, 3))
    below = images[:, half:].mean(axis=(1, 2, 3)) - images[:, :half].mean(axis=(1, 2, 3))
    one_hot = np.eye(CLASSES)[classes]
    return tuple(array.astype(np.float32) for array in (images, one_hot, np.stack([right, below], axis=1)))
