"""The demo's users: skewed, repeatable, and harder on wrong answers than on right ones."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from examples.model_rollout.models import DigitImages
from examples.model_rollout.traffic import CORRUPTED_SHARE, Request, requests


@pytest.fixture(scope="module")
def sample() -> list[Request]:
    return list(islice(requests(images(), population_seed=1, seed=2), 20_000))


def images() -> DigitImages:
    rng = np.random.default_rng(0)
    return DigitImages(rng.random((50, 64)), rng.integers(10, size=50))


def test_same_seeds_give_the_same_requests(sample: list[Request]) -> None:
    again = islice(requests(images(), population_seed=1, seed=2), 100)
    assert [(r.user_id, r.digit, r.mood) for r in again] == [
        (r.user_id, r.digit, r.mood) for r in sample[:100]
    ]


def test_another_seed_sends_the_same_users_at_other_times(sample: list[Request]) -> None:
    other = list(islice(requests(images(), population_seed=1, seed=3), 20_000))
    assert [r.user_id for r in other] != [r.user_id for r in sample]
    busiest = {user for user, _ in Counter(r.user_id for r in sample).most_common(20)}
    also = {user for user, _ in Counter(r.user_id for r in other).most_common(40)}
    assert len(busiest & also) >= 10


def test_a_few_users_send_much_of_it(sample: list[Request]) -> None:
    counts = sorted(Counter(r.user_id for r in sample).values(), reverse=True)
    assert len(counts) > 2_500
    assert sum(counts[: len(counts) // 10]) > 0.25 * len(sample)


def test_a_hundredth_of_the_images_is_damaged(sample: list[Request]) -> None:
    damaged = sum(bool(np.isnan(r.image).any()) for r in sample)
    spread = (len(sample) * CORRUPTED_SHARE * (1 - CORRUPTED_SHARE)) ** 0.5
    assert abs(damaged - len(sample) * CORRUPTED_SHARE) < 4 * spread


def test_right_answers_are_rated_higher(sample: list[Request]) -> None:
    right = [r.rate(r.digit) for r in sample]
    wrong = [r.rate((r.digit + 1) % 10) for r in sample]
    assert set(right) | set(wrong) == {1, 2, 3, 4, 5}
    assert float(np.mean(right)) > float(np.mean(wrong)) + 1.5
