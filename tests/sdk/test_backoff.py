import random
from collections import Counter

import pytest

from tidegate.backoff import Backoff


@pytest.mark.parametrize(("failures", "bound"), [(1, 0.5), (2, 1), (3, 2), (4, 3), (10_000, 3)])
def test_pauses_double_up_to_the_longest(failures: int, bound: float) -> None:
    pauses = [Backoff(0.5, 3).pause(failures) for _ in range(300)]
    assert 0.1 * bound <= min(pauses) < 0.4 * bound
    assert 0.7 * bound < max(pauses) <= bound


def arrivals(clients: int, away: float, rng: random.Random) -> list[float]:
    """Return when each client finds a server that was away for some seconds after its return."""
    backoff, found = Backoff(), []
    for _ in range(clients):
        now, failures = 0.0, 0
        while now < away:
            failures += 1
            now += backoff.pause(failures, rng)
        found.append(now - away)
    return sorted(found)


@pytest.mark.parametrize("away", [0.5, 2, 10, 60])
def test_a_thousand_clients_do_not_come_back_at_one_moment(away: float) -> None:
    found = arrivals(1_000, away, random.Random(1))
    slots = Counter(int(seconds * 20) for seconds in found)  # of 50 ms
    assert max(slots.values()) < 150
    assert found[500] < 2
    assert found[-1] <= Backoff().longest
