import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sdk import murmur
from tidegate_server.batch import arrow, blocks
from tidegate_server.batch.murmur import PrefixedMurmur

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
prefixes = st.text(st.characters(codec="utf-8"), max_size=12).map(str.encode)


def hashes(prefix: bytes, array: pa.Array) -> list[int]:
    found: list[int] = []
    for block in arrow.blocks(array):
        found += PrefixedMurmur(prefix).hash(block).tolist()
    return found


def expected(prefix: bytes, units: list[str]) -> list[int]:
    return [murmur.x86_32(prefix + unit.encode()) for unit in units]


@given(prefixes, st.lists(texts, min_size=1, max_size=50), st.integers(0, 5))
def test_rows_of_any_length_agree_with_the_reference(
    prefix: bytes, units: list[str], skipped: int
) -> None:
    array = pa.array(["x" * skipped, *units])
    assert hashes(prefix, array.slice(1)) == expected(prefix, units)


@given(prefixes, st.integers(1, 30), st.integers(1, 20), st.data())
def test_rows_of_one_length_agree_with_the_reference(
    prefix: bytes, length: int, rows: int, data: st.DataObject
) -> None:
    ascii_text = st.text(st.characters(max_codepoint=127), min_size=length, max_size=length)
    units = data.draw(st.lists(ascii_text, min_size=rows, max_size=rows))
    block = next(arrow.blocks(pa.array(units)))
    assert block.uniform
    assert PrefixedMurmur(prefix).hash(block).tolist() == expected(prefix, units)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 300])
def test_blocks_join_without_a_seam(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "BLOCK_ROWS", 64)
    monkeypatch.setattr(arrow, "BLOCK_BYTES", 400)
    units = [f"user-{number * 37}" for number in range(count)]
    assert hashes(b"chat-model:", pa.array(units)) == expected(b"chat-model:", units)


def test_a_buffer_that_is_not_aligned_is_copied() -> None:
    units = [f"user-{number}" for number in range(100)]
    array = pa.array(units)
    valid, offsets, text = array.buffers()
    shifted = pa.py_buffer(b"\0" + text.to_pybytes()).slice(1)
    moved = pa.Array.from_buffers(pa.string(), 100, [valid, offsets, shifted])
    assert hashes(b"s:", moved) == expected(b"s:", units)


def test_every_row_of_a_large_array_is_hashed() -> None:
    units = [f"user-{number}@example.com" for number in range(3 * blocks.BLOCK_ROWS + 7)]
    found = hashes(b"salt:", pa.array(units, pa.large_string()))
    picked = np.random.default_rng(3).integers(0, len(units), 500)
    for row in [0, len(units) - 1, *picked]:
        assert found[row] == murmur.x86_32(b"salt:" + units[row].encode())
