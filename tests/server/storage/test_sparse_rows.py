import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidegate_server.storage.sparse_rows import decode_rows, encode_rows

rows_strategy = st.lists(
    st.dictionaries(st.integers(-3841, 3841), st.integers(1, 2**62), max_size=5)
    | st.dictionaries(st.integers(-5, 5), st.integers(1, 300), max_size=5),
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
