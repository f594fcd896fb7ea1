import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.model import PPM
from tidegate_server.cli.shares import format_share, parse_share, sum_problem


@pytest.mark.parametrize(
    ("text", "ppm"),
    [
        ("75", 750_000),
        ("75%", 750_000),
        (" 12.5 % ", 125_000),
        ("0.0001%", 1),
        ("99.9999", 999_999),
        (".5%", 5_000),
        ("100.%", 1_000_000),
        ("0", 0),
        ("33.333300%", 333_333),
    ],
)
def test_shares_are_read_exactly(text: str, ppm: int) -> None:
    assert parse_share(text) == ppm


@pytest.mark.parametrize("text", ["", "%", "x", "-1", "1e1", "nan", "1,5", "5 0", "5%%", ".", "٣"])
def test_other_text_is_no_percentage(text: str) -> None:
    with pytest.raises(ValueError, match="is not a percentage: write a number such as 75%"):
        parse_share(text)


def test_a_share_is_at_most_the_whole() -> None:
    with pytest.raises(ValueError, match=r"'100\.0001%' is more than the whole"):
        parse_share("100.0001%")


def test_a_share_is_not_finer_than_a_millionth() -> None:
    with pytest.raises(ValueError, match=r"'33\.33333%' is too fine: a percentage has at most 4"):
        parse_share("33.33333%")


@given(st.integers(0, PPM))
def test_what_is_written_reads_back(ppm: int) -> None:
    assert parse_share(format_share(ppm)) == ppm


@pytest.mark.parametrize(
    ("shares", "problem"),
    [
        ({"a": PPM}, None),
        ({"a": 333_333, "b": 666_667}, None),
        (
            {"a": 700_000, "b": 250_000},
            "the shares add up to 95%, not 100%: add 5%",
        ),
        (
            {"a": 750_000, "b": 250_001},
            "the shares add up to 100.0001%, not 100%: take away 0.0001%",
        ),
        (
            {"a": 9_500, "b": 500},
            "the shares add up to 1%, not 100%: shares are percentages, write 95% for 0.95",
        ),
    ],
)
def test_sums_are_judged(shares: dict[str, int], problem: str | None) -> None:
    assert sum_problem(shares) == problem
