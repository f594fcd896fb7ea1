import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from zlib import crc32

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from tidegate.arm import Arm
from tidegate.bucketing import unit_hash
from tidegate.model import FlagKey, Phase, VariantKey
from tidegate.token import hash_bytes, read_token, write_token

ARM = Arm(FlagKey("chat-model"), VariantKey("v2"), Phase(1_234), False, "0123456789abcdef")
TOKEN = write_token(ARM, hash_bytes("user-1"))
KEYS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,99}", fullmatch=True)


@for_all(
    KEYS,
    KEYS,
    st.integers(1, 2**63 - 1),
    st.booleans(),
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=8, max_size=8),
)
def test_what_is_written_is_read(
    flag: str, variant: str, phase: int, outside: bool, version: bytes, unit: bytes
) -> None:
    arm = Arm(FlagKey(flag), VariantKey(variant), Phase(phase), outside, version.hex())
    token = write_token(arm, unit)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert read_token(token) == (arm, unit)


def test_tokens_are_short_and_pinned() -> None:
    """A token outlives releases: this one was written by the first."""
    assert len(TOKEN) == 48
    assert TOKEN == "AaQTYazNSxL_NXYBI0VniavN7wpjaGF0LW1vZGVsdjLBlG8F"
    assert read_token(TOKEN) == (ARM, unit_hash("user-1").to_bytes(8, "big"))


@for_all(st.data())
def test_a_changed_character_is_noticed(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TOKEN) - 1))
    other = data.draw(st.sampled_from("ABCwxyz019_-").filter(lambda new: new != TOKEN[at]))
    damaged = TOKEN[:at] + other + TOKEN[at + 1 :]
    try:
        read = read_token(damaged)
    except ValueError:
        return
    # The last character of some lengths holds bits that carry nothing.
    assert at == len(TOKEN) - 1
    assert read == (ARM, hash_bytes("user-1"))


@for_all(st.integers(0, len(TOKEN) - 1))
def test_a_token_that_was_cut_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="token"):
        read_token(TOKEN[:length])


@pytest.mark.parametrize(
    "text", ["", "user-1", "Ä" * 20, "a b", TOKEN + "\n", "A" * 401, TOKEN * 2]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="token"):
        read_token(text)


@for_all(st.text())
def test_any_text_is_refused_by_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="token"):
        read_token(text)


def signed(body: bytes) -> str:
    return urlsafe_b64encode(body + crc32(body).to_bytes(4, "big")).rstrip(b"=").decode()


@for_all(st.binary(max_size=60))
def test_a_right_checksum_is_not_enough(body: bytes) -> None:
    with pytest.raises(ValueError, match="token"):
        read_token(signed(b"\x01\x02" + body[:16] + b"\x80" + body))


@pytest.mark.parametrize(
    "body",
    [
        b"\x02" + urlsafe_b64decode(TOKEN + "==")[1:-4],  # another format
        b"\x01" + b"\xff" * 40,  # a phase without end
        b"\x01\x01" + b"u" * 16 + b"\x01ab",  # phase 0
        b"\x01\x02" + b"u" * 16 + b"\x02Abcd",  # no key
        b"\x01\x02" + b"u" * 16 + b"\x02ab",  # no variant
        b"\x01\x02" + b"u" * 3,
        b"\x01",
        b"",
    ],
    ids=repr,
)
def test_a_token_that_says_nonsense_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="token"):
        read_token(signed(body))
