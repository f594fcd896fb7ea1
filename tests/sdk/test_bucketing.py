from collections import Counter
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sdk import murmur
from tidegate.bucketing import LONGEST_UNIT_ID, boundary, bucket, plain_unit_id, splitter, unit_hash
from tidegate.model import BUCKETS

unit_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
SURROGATE = "user-\ud800"


class Team(StrEnum):
    PLATFORM = "platform"


@pytest.mark.parametrize(
    ("data", "seed", "expected"),
    [
        (b"", 0, 0),
        (b"", 1, 0x514E28B7),
        (b"", 0xFFFFFFFF, 0x81F16F39),
        (b"test", 0, 0xBA6BD213),
        (b"Hello, world!", 0, 0xC0363E43),
        (b"The quick brown fox jumps over the lazy dog", 0, 0x2E4FF723),
    ],
)
def test_the_reference_gives_the_published_vectors(data: bytes, seed: int, expected: int) -> None:
    assert murmur.x86_32(data, seed) == expected


def test_the_128_bit_reference_gives_the_published_vector() -> None:
    high, low = murmur.x64_128(b"The quick brown fox jumps over the lazy dog")
    assert (high, low) == (0xE34BBC7BBC071B6C, 0x7A433CA9C49A9347)


@given(unit_ids, unit_ids)
def test_buckets_agree_with_the_reference(salt: str, unit_id: str) -> None:
    assert bucket(salt, unit_id) == murmur.x86_32(f"{salt}:{unit_id}".encode())


@given(unit_ids)
def test_unit_hashes_agree_with_the_reference(unit_id: str) -> None:
    assert unit_hash(unit_id) == murmur.x64_128(unit_id.encode())[0]


def test_some_buckets_for_ever() -> None:
    assert bucket("chat-model", "user-1") == 3_131_912_965
    assert bucket("chat-model", "Zoë") == 634_448_699
    assert unit_hash("user-1") == 7_038_226_039_998_199_158


@given(unit_ids, unit_ids, st.lists(st.integers(1, (1 << 32) - 1), max_size=10, unique=True))
def test_the_splitter_finds_the_range_that_holds_the_bucket(
    salt: str, unit_id: str, bounds: list[int]
) -> None:
    starts = [0, *sorted(bounds)]
    index = splitter(salt, starts, list(range(len(starts))), -1)(unit_id, None)
    ends = [*starts[1:], 1 << 32]
    assert starts[index] <= bucket(salt, unit_id) < ends[index]


def test_a_range_begins_with_its_first_bucket() -> None:
    at = bucket("s", "user-1")
    assert splitter("s", (0, at), ("below", "from"), "-")("user-1", None) == "from"
    assert splitter("s", (0, at + 1), ("below", "from"), "-")("user-1", None) == "below"


@pytest.mark.parametrize(
    "unit_id",
    [None, 5, True, b"user", "", "x" * (LONGEST_UNIT_ID + 1), SURROGATE, ["user"], object()],
    ids=["None", "int", "bool", "bytes", "empty", "long", "surrogate", "list", "object"],
)
def test_what_is_no_unit_id_gets_the_invalid_result(unit_id: object) -> None:
    assert plain_unit_id(unit_id) is None
    assert splitter("s", (0,), ("v1",), "invalid")(unit_id, None) == "invalid"


def test_the_longest_id_and_a_subclass_of_str_are_valid() -> None:
    pick = splitter("s", (0,), ("v1",), "invalid")
    assert pick("x" * LONGEST_UNIT_ID, None) == "v1"
    assert pick("é" * LONGEST_UNIT_ID, None) == "v1"
    assert pick(Team.PLATFORM, None) == "v1"
    assert type(plain_unit_id(Team.PLATFORM)) is str


def test_a_subclass_of_str_has_the_bucket_of_its_text() -> None:
    starts = tuple(range(0, 1 << 32, 1 << 22))
    pick = splitter("s", starts, range(len(starts)), -1)
    assert pick(Team.PLATFORM, None) == pick("platform", None)


def test_a_salt_that_utf8_cannot_encode_is_an_error_not_a_crash() -> None:
    with pytest.raises(UnicodeEncodeError):
        splitter(SURROGATE, (0,), ("v1",), "invalid")
    with pytest.raises(UnicodeEncodeError):
        bucket("s", SURROGATE)
    with pytest.raises(UnicodeEncodeError):
        unit_hash(SURROGATE)


@pytest.mark.parametrize(
    "pattern",
    ["{}", "user-{}", "{}@example.com", "00000000-0000-4000-8000-{:012}"],
)
def test_shares_are_what_the_ranges_say(pattern: str) -> None:
    ppm = (900_000, 50_000, 50_000)
    pick = splitter("s", (0, boundary(900_000), boundary(950_000)), (0, 1, 2), -1)
    count = 40_000
    found = Counter(pick(pattern.format(number), None) for number in range(count))
    for index, share in enumerate(ppm):
        p = share / 1e6
        assert abs(found[index] - count * p) < 4.5 * (count * p * (1 - p)) ** 0.5


def test_buckets_of_two_salts_are_independent() -> None:
    count = 40_000
    one = splitter("one", (0, 1 << 31), (0, 1), -1)
    two = splitter("two", (0, 1 << 31), (0, 1), -1)
    both = Counter((one(f"user-{i}", None), two(f"user-{i}", None)) for i in range(count))
    chi_square = sum((both[a, b] - count / 4) ** 2 / (count / 4) for a in (0, 1) for b in (0, 1))
    assert chi_square < 16.3  # the 0.1 % point at 3 degrees of freedom


def test_a_boundary_is_the_first_bucket_beyond() -> None:
    for ppm in (0, 1, 333_333, 999_999, 1_000_000):
        first = boundary(ppm)
        assert first * 1_000_000 // BUCKETS == ppm
        assert first == 0 or (first - 1) * 1_000_000 // BUCKETS == ppm - 1
