"""Tokens: an assignment as a short text, so that outcomes can be reported elsewhere, and later.

A token is base64url without padding, of these bytes:

    1       the format: 1
    1–9     varint: phase * 2, plus 1 where the assignment lies outside the flag's split
    8       the unit's hash, big-endian (see `bucketing.unit_hash`)
    8       the id of the variant's value
    1       length of the flag's key; then the key, and the variant's key, in ASCII
    4       the CRC-32 of all before, big-endian

It holds no unit's id and is no secret; it is not signed either, so that whoever may send outcomes
may also make tokens.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from zlib import crc32

from tidegate.arm import Arm
from tidegate.bucketing import unit_hash
from tidegate.model import FlagKey, Phase, VariantKey

FORMAT = 1
LONGEST_TOKEN = 400
"""Most characters of a token: two keys of 100 characters and the numbers fit well."""

_TEXT = re.compile(r"[A-Za-z0-9_-]+")
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_HASH_BYTES = 8
_VERSION_BYTES = 8
_CHECKSUM_BYTES = 4
_MOST_VARINT_BYTES = 10


def hash_bytes(unit_id: str) -> bytes:
    """Return the hash that stands for a unit, as 8 bytes, big-endian.

    Raises:
        UnicodeEncodeError: UTF-8 can't encode the id.
    """
    return unit_hash(unit_id).to_bytes(_HASH_BYTES)


def write_token(arm: Arm, unit: bytes) -> str:
    """Return the token of a unit's assignment; `unit` is its hash, see `hash_bytes`."""
    flag = arm.flag.encode()
    body = b"".join(
        (
            bytes((FORMAT,)),
            _varint(arm.phase << 1 | arm.outside_split),
            unit,
            bytes.fromhex(arm.version_id),
            bytes((len(flag),)),
            flag,
            arm.variant.encode(),
        )
    )
    return urlsafe_b64encode(body + crc32(body).to_bytes(_CHECKSUM_BYTES)).rstrip(b"=").decode()


def read_token(token: str) -> tuple[Arm, bytes]:
    """Return the arm and the unit's hash that a token holds.

    Raises:
        ValueError: it is no token, or it was damaged; the message says which.
    """
    if not 0 < len(token) <= LONGEST_TOKEN or not _TEXT.fullmatch(token):
        raise ValueError("it is no token; give what Assignment.token said")
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        raise ValueError("its token is not whole") from None
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if not body or crc32(body).to_bytes(_CHECKSUM_BYTES) != checksum:
        raise ValueError("its token was damaged on the way")
    if body[0] != FORMAT:
        raise ValueError(f"its token has format {body[0]}, from another release; update the SDK")
    return _read_body(body)


def _read_body(body: bytes) -> tuple[Arm, bytes]:
    number, at = _read_varint(body, 1)
    version_at = at + _HASH_BYTES
    length_at = version_at + _VERSION_BYTES
    flag_at = length_at + 1
    variant_at = flag_at + int.from_bytes(body[length_at:flag_at])
    flag = body[flag_at:variant_at].decode("ascii", "replace")
    variant = body[variant_at:].decode("ascii", "replace")
    phase = number >> 1
    if not (_KEY.fullmatch(flag) and _KEY.fullmatch(variant) and 1 <= phase < 1 << 63):
        raise ValueError("its token names no flag, variant and phase")
    return (
        Arm(
            FlagKey(flag),
            VariantKey(variant),
            Phase(phase),
            bool(number & 1),
            body[version_at:length_at].hex(),
        ),
        body[at:version_at],
    )


def _varint(number: int) -> bytes:
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a position, and the position behind it."""
    number = 0
    for index, byte in enumerate(data[at : at + _MOST_VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, at + index + 1
    raise ValueError("its token names no phase")
