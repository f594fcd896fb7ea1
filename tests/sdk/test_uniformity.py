"""Chi-square tests of the hashes, over ids such as applications have."""

import random
import uuid
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tidegate.bucketing import bucket, unit_hash

UNITS = 60_000
ALPHA = 1e-4
"""With fixed seeds a test passes always or never; few enough false alarms to find good seeds."""


def numbers() -> list[str]:
    return [str(number) for number in range(1, UNITS + 1)]


def prefixed_numbers() -> list[str]:
    return [f"user-{number:08}" for number in range(UNITS)]


def uuids() -> list[str]:
    rng = random.Random(1)
    return [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(UNITS)]


def mails() -> list[str]:
    rng = random.Random(2)
    names = ["ann", "bob", "carol", "dave", "eve", "françois", "zoë", "李"]
    hosts = ["example.com", "mail.example.org", "example.net"]
    return [f"{rng.choice(names)}.{i}@{rng.choice(hosts)}" for i in range(UNITS)]


IDS = pytest.mark.parametrize("ids", [numbers, prefixed_numbers, uuids, mails])
Ids = Callable[[], Sequence[str]]


def buckets(salt: str, ids: Sequence[str]) -> NDArray[np.uint32]:
    return np.array([bucket(salt, unit_id) for unit_id in ids], np.uint32)


def p_uniform(classes: NDArray[np.integer], count: int) -> float:
    return float(stats.chisquare(np.bincount(classes, minlength=count)).pvalue)


def p_independent(
    one: NDArray[np.integer], other: NDArray[np.integer], shape: tuple[int, int]
) -> float:
    table = np.bincount(one * shape[1] + other, minlength=shape[0] * shape[1]).reshape(shape)
    return float(stats.chi2_contingency(table).pvalue)


@IDS
def test_buckets_are_uniform_in_their_upper_and_lower_bits(ids: Ids) -> None:
    found = buckets("chat-model", ids())
    assert p_uniform((found >> 22).astype(np.int64), 1_024) > ALPHA
    assert p_uniform((found & 1_023).astype(np.int64), 1_024) > ALPHA


@IDS
def test_buckets_are_uniform_over_shares_that_are_no_power_of_two(ids: Ids) -> None:
    share = buckets("chat-model", ids()).astype(np.int64) * 1_000 >> 32
    assert p_uniform(share, 1_000) > ALPHA


@IDS
@pytest.mark.parametrize(
    ("one", "other"),
    [("chat-model", "checkout"), ("flag-1", "flag-2"), ("a", "b"), ("flag", "flag:")],
)
def test_buckets_of_two_flags_are_independent(ids: Ids, one: str, other: str) -> None:
    units = ids()
    first, second = (buckets(salt, units).astype(np.int64) * 20 >> 32 for salt in (one, other))
    assert p_independent(first, second, (20, 20)) > ALPHA


@IDS
def test_buckets_are_independent_of_the_cells_of_unit_hashes(ids: Ids) -> None:
    units = ids()
    cells = np.array([unit_hash(unit_id) >> 56 for unit_id in units], np.int64)
    assert p_uniform(cells, 256) > ALPHA
    share = buckets("chat-model", units).astype(np.int64) * 10 >> 32
    assert p_independent(share, cells, (10, 256)) > ALPHA


@IDS
def test_the_bits_of_the_bitmap_are_uniform_and_independent_of_the_group(ids: Ids) -> None:
    hashes = [unit_hash(unit_id) for unit_id in ids()]
    bits = np.array([value >> 42 & 0x3FFF for value in hashes], np.int64)
    groups = np.array([value >> 58 for value in hashes], np.int64)
    assert p_uniform(bits >> 4, 1_024) > ALPHA
    assert p_independent(groups, bits >> 8, (64, 64)) > ALPHA


def test_the_tests_notice_a_hash_that_is_not_good_enough() -> None:
    crc_like = np.array([sum(unit_id.encode()) % 1_024 for unit_id in mails()], np.int64)
    assert p_uniform(crc_like, 1_024) < ALPHA
    found = buckets("chat-model", numbers()).astype(np.int64) * 20 >> 32
    assert p_independent(found, np.roll(found, 0), (20, 20)) < ALPHA
