"""The demo's models really differ, and refuse what they cannot read."""

import numpy as np
import pytest

from examples.model_rollout.models import (
    DigitImages,
    FullImage,
    Model,
    Thumbnail,
    UnreadableImageError,
    load_images,
    train_models,
)


@pytest.fixture(scope="module")
def halves() -> tuple[DigitImages, DigitImages]:
    return load_images(seed=7)


def accuracy(model: Model, data: DigitImages) -> float:
    answers = [model.read(image) for image in data.images]
    return float(np.mean(np.array(answers) == data.digits))


def test_second_version_reads_unseen_images_better(
    halves: tuple[DigitImages, DigitImages],
) -> None:
    train, held_out = halves
    models = train_models(train)
    first = accuracy(models["logistic-regression"], held_out)
    second = accuracy(models["support-vector-machine"], held_out)
    assert 0.75 < first < 0.9
    assert second > 0.97


def test_third_version_is_the_second_served_wrongly(
    halves: tuple[DigitImages, DigitImages],
) -> None:
    train, held_out = halves
    third = train_models(train)["support-vector-machine-served-wrongly"]
    assert accuracy(third, held_out) < 0.6
    with pytest.raises(UnreadableImageError):
        third.read(np.full(64, np.nan))


def test_halves_are_the_same_for_the_same_seed_and_share_nothing(
    halves: tuple[DigitImages, DigitImages],
) -> None:
    again, _ = load_images(seed=7)
    np.testing.assert_array_equal(halves[0].images, again.images)
    other, _ = load_images(seed=8)
    assert not np.array_equal(halves[0].images, other.images)
    seen = {image.tobytes() for image in halves[0].images}
    assert not any(image.tobytes() in seen for image in halves[1].images)


@pytest.mark.parametrize("version", [Thumbnail, FullImage])
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full(64, np.nan), r"outside \[0, 1\]"),
        (np.full(64, 16.0), r"outside \[0, 1\]"),
        (np.zeros(63), r"shape \(63,\)"),
    ],
)
def test_what_is_no_image_is_refused(
    halves: tuple[DigitImages, DigitImages],
    version: type[Thumbnail | FullImage],
    image: np.ndarray[tuple[int], np.dtype[np.float64]],
    message: str,
) -> None:
    small = DigitImages(halves[0].images[:100], halves[0].digits[:100])
    with pytest.raises(UnreadableImageError, match=message):
        version(small).read(image)
