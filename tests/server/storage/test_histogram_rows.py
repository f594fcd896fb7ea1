import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_server.storage.histogram_rows import decode_rows, encode_rows

rows_strategy = st.lists(
    st.dictionaries(st.integers(-3841, 3841), st.integers(1, 2**62), max_size=5)
    | st.dictionaries(st.integers(-5, 5), st.integers(1, 300), max_size=11)
    | st.dictionaries(st.integers(3_830, 3_841), st.integers(2**31, 2**62), max_size=11),
    max_size=6,
)


@given(rows_strategy)
def test_rows_come_back(rows: list[dict[int, int]]) -> None:
    entries = [
        (row, index, count)
        for row, bins in enumerate(rows)
        for index, count in sorted(bins.items())
    ]
    row, index, count = np.array(entries, np.int64).reshape(-1, 3).T
    encoded = encode_rows(len(rows), row, index, count)
    assert [bool(each) for each in encoded] == [bool(bins) for bins in rows]
    found = decode_rows(encoded)
    assert list(zip(*(each.tolist() for each in found), strict=True)) == entries


def test_a_row_takes_no_more_than_its_counts_need() -> None:
    row, index = np.array([0, 0, 1, 2, 3]), np.array([-7, 9, 0, 0, 0])
    count = np.array([1, 255, 256, 2**16, 2**32])
    lengths = [len(each) for each in encode_rows(4, row, index, count)]
    assert lengths == [1 + 2 * 3, 1 + 4, 1 + 6, 1 + 10]


@pytest.mark.parametrize(("most", "size"), [(255, 1), (256, 2), (2**16, 4), (2**32, 8)])
def test_a_full_row_takes_no_more_than_its_counts(most: int, size: int) -> None:
    row, index = np.zeros(500, np.int64), np.arange(-250, 250)
    count = np.full(500, most)
    (encoded,) = encode_rows(1, row, index, count)
    assert len(encoded) == 1 + 2 + 500 * size
    (half,) = encode_rows(1, row[::2], index[::2], count[::2])
    assert len(half) == 1 + min(250 * (2 + size), 2 + 499 * size)
