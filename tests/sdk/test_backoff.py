import pytest

from tidegate.backoff import Backoff


@pytest.mark.parametrize(("failures", "bound"), [(1, 0.5), (2, 1), (3, 2), (4, 3), (10_000, 3)])
def test_pauses_double_up_to_the_longest(failures: int, bound: float) -> None:
    pauses = [Backoff(0.5, 3).pause(failures) for _ in range(300)]
    assert 0.1 * bound <= min(pauses) < 0.4 * bound
    assert 0.7 * bound < max(pauses) <= bound
