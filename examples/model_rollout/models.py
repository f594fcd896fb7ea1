"""Three versions of a model that reads handwritten digits, trained on scikit-learn's own images.

The first version is small: logistic regression on a thumbnail of 4 by 4 pixels. The second is a
support vector machine on all 8 by 8 pixels, trained on shifted copies as well: it reads better and
takes longer. The third is the second with a mistake in how it is served: its pixels are divided by
their largest value once more, so that it sees images almost black, and guesses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

Images = NDArray[np.float64]
Digits = NDArray[np.int64]

SIDE = 8
"""Height and width of an image in pixels; a pixel is in [0, 1]."""

LARGEST_PIXEL = 16
"""Of the images as they are delivered."""

_SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))


class UnreadableImageError(ValueError):
    """The image is not what the model was made for."""


class Model(Protocol):
    """One version of the model."""

    def read(self, image: Images) -> int:
        """Return the digit, 0 to 9, on an image of shape (64,).

        Raises:
            UnreadableImageError: the image has another shape, or pixels outside [0, 1].
        """
        ...


@dataclass(frozen=True, slots=True)
class DigitImages:
    """Images of shape (n, 64) with the digits they show, of shape (n,)."""

    images: Images
    digits: Digits


def load_images(seed: int) -> tuple[DigitImages, DigitImages]:
    """Return two halves of the data set: one to train on, one that the models never see before."""
    bunch = load_digits()
    train, held_out, train_digits, held_out_digits = train_test_split(
        bunch.data / LARGEST_PIXEL,
        bunch.target,
        test_size=0.5,
        random_state=seed,
        stratify=bunch.target,
    )
    return DigitImages(train, train_digits), DigitImages(held_out, held_out_digits)


def train_models(data: DigitImages) -> Mapping[str, Model]:
    """Return the versions by the name that the flag's variants give them as `model`."""
    full = FullImage(data)
    return {
        "logistic-regression": Thumbnail(data),
        "support-vector-machine": full,
        "support-vector-machine-served-wrongly": ScaledTwice(full),
    }


class Thumbnail:
    """Logistic regression on means of 2 by 2 pixels."""

    def __init__(self, data: DigitImages) -> None:
        self._classifier = LogisticRegression(max_iter=1000)
        self._classifier.fit(_thumbnails(data.images), data.digits)

    def read(self, image: Images) -> int:
        """Return the digit; see `Model`."""
        return int(self._classifier.predict(_thumbnails(_checked(image)))[0])


class FullImage:
    """A support vector machine with a radial kernel on all pixels."""

    def __init__(self, data: DigitImages) -> None:
        self._classifier = SVC(C=10, gamma=0.05)
        self._classifier.fit(_shifted(data.images), np.tile(data.digits, len(_SHIFTS)))

    def read(self, image: Images) -> int:
        """Return the digit; see `Model`."""
        return int(self._classifier.predict(_checked(image))[0])


class ScaledTwice:
    """A good model behind a server that prepares images a second time."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def read(self, image: Images) -> int:
        """Return the digit; see `Model`."""
        return self._model.read(image / LARGEST_PIXEL)


def _checked(image: Images) -> Images:
    if image.shape != (SIDE * SIDE,):
        raise UnreadableImageError(
            f"image has shape {image.shape}: give {SIDE * SIDE} pixels in a row"
        )
    if not ((image >= 0) & (image <= 1)).all():
        raise UnreadableImageError(
            "image has pixels outside [0, 1]: divide them by their largest value"
        )
    return image.reshape(1, -1)


def _thumbnails(images: Images) -> Images:
    half = SIDE // 2
    blocks = images.reshape(-1, half, 2, half, 2)
    return np.asarray(blocks.mean(axis=(2, 4)).reshape(len(images), -1))


def _shifted(images: Images) -> Images:
    squares = images.reshape(-1, SIDE, SIDE)
    copies = [np.roll(squares, shift, axis=(1, 2)) for shift in _SHIFTS]
    return np.concatenate(copies).reshape(-1, SIDE * SIDE)
