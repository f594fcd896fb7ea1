"""Simulated users: who sends which image, and how they rate the answer."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .models import DigitImages, Images

USERS = 20_000
CORRUPTED_SHARE = 0.01
"""Share of images that arrive damaged."""

_ACTIVITY_SIGMA = 1.0
_BLOCK = 4_096


@dataclass(frozen=True, slots=True)
class Request:
    """One user's wish to have an image read, and what only the user knows."""

    user_id: str
    country: str
    image: Images
    digit: int
    mood: float
    """How far this user's rating of this answer lies above others', in stars."""

    def rate(self, answer: int) -> int:
        """Return the user's rating of an answer, in stars from 1 to 5."""
        stars = 4.3 if answer == self.digit else 2.0
        return min(5, max(1, round(stars + self.mood)))


def requests(data: DigitImages, population_seed: int, seed: int) -> Iterator[Request]:
    """Yield requests without end.

    A few users send many and most send few: activity is log-normal. The users and their habits
    follow from `population_seed` alone; `seed` decides who comes when.
    """
    habits = np.random.default_rng(population_seed)
    activity = habits.lognormal(sigma=_ACTIVITY_SIGMA, size=USERS)
    temper = habits.normal(scale=0.5, size=USERS)
    rng = np.random.default_rng(seed)
    while True:
        users = rng.choice(USERS, size=_BLOCK, p=activity / activity.sum())
        pictures = rng.integers(len(data.images), size=_BLOCK)
        moods = temper[users] + rng.normal(scale=0.5, size=_BLOCK)
        corrupted = rng.random(_BLOCK) < CORRUPTED_SHARE
        for user, picture, mood, bad in zip(users, pictures, moods, corrupted, strict=True):
            image = data.images[picture]
            yield Request(
                user_id=f"user-{user}",
                country="DE" if user % 3 else "FR",
                image=_corrupt(image) if bad else image,
                digit=int(data.digits[picture]),
                mood=float(mood),
            )


def _corrupt(image: Images) -> Images:
    """Return the image as a broken upload leaves it: its second half is missing."""
    damaged = image.copy()
    damaged[len(image) // 2 :] = np.nan
    return damaged
