"""Hash → bucket → variant, with integers only: no float takes part.

The hashes are MurmurHash3's (Austin Appleby, public domain): x86_32 for buckets, x64_128 for
events. mmh3 ends the whole process when it is handed a string that UTF-8 can't encode (a lone
surrogate): every string is checked before it goes there.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

import mmh3

from tidegate.model import BUCKETS, PPM

T = TypeVar("T")

LONGEST_UNIT_ID = 1_000
"""Most characters of a unit's id."""

_hash32 = mmh3.hash

unit_digest: Callable[[bytes], bytes] = mmh3.mmh3_x64_128_digest
"""Of a unit's id in UTF-8: begins with the 8 bytes of `unit_hash`, little-endian."""


def plain_unit_id(unit_id: object) -> str | None:
    """Return `unit_id` as an exact `str`, or None where it is no valid id of a unit.

    Valid is a string of 1 to LONGEST_UNIT_ID characters that UTF-8 can encode.
    """
    if type(unit_id) is str and 0 < len(unit_id) <= LONGEST_UNIT_ID and unit_id.isascii():
        return unit_id
    if not issubclass(type(unit_id), str):
        return None
    text = str.__str__(unit_id)
    if not 0 < len(text) <= LONGEST_UNIT_ID:
        return None
    return text if encodes(text) else None


def encodes(text: str) -> bool:
    """Return whether UTF-8 can encode a text, so that it can be hashed."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def boundary(ppm: int) -> int:
    """Return the first bucket that is not among the lowest `ppm` parts per million.

    It is ceil(ppm * BUCKETS / PPM): in [0, BUCKETS] for `ppm` in [0, PPM].
    """
    return -(-ppm * BUCKETS // PPM)


def bucket(salt: str, unit_id: str) -> int:
    """Return a unit's bucket, in [0, 2^32): mmh3_x86_32(salt + ":" + unit_id), seed 0, unsigned.

    Raises:
        UnicodeEncodeError: UTF-8 can't encode the salt or the id.
    """
    return _hash32(f"{salt}:{unit_id}".encode(), 0, False)


def unit_hash(unit_id: str) -> int:
    """Return the hash that stands for a unit in events, in [0, 2^64).

    It is the first 64 bits of mmh3_x64_128(unit_id), seed 0, unsigned, and independent of buckets.

    Raises:
        UnicodeEncodeError: UTF-8 can't encode the id.
    """
    return mmh3.hash64(unit_id.encode(), 0, True, signed=False)[0]


def splitter(
    salt: str, starts: Sequence[int], results: Sequence[T], invalid: T
) -> Callable[[object, object], T]:
    """Return the function that gives a unit the result of its bucket's range.

    `results` is as long as `starts` (see `Allocation`); what is no valid id of a unit gets
    `invalid`. The function's second argument is ignored: so a flag that has nothing but a split is
    evaluated by this one call.

    Raises:
        UnicodeEncodeError: UTF-8 can't encode the salt.
    """
    prefix = f"{salt}:"
    prefix.encode()
    bounds = list(starts[1:])
    of_range = list(results)

    def pick(unit_id: object, _: object) -> T:
        if type(unit_id) is str and 0 < len(unit_id) <= LONGEST_UNIT_ID and unit_id.isascii():
            return of_range[bisect_right(bounds, _hash32(prefix + unit_id, 0, False))]
        text = plain_unit_id(unit_id)
        if text is None:
            return invalid
        return of_range[bisect_right(bounds, bucket(salt, text))]

    return pick
