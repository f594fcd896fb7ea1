import pytest

from tidegate_server.domain.checks import percent, unknown


@pytest.mark.parametrize(
    ("ppm", "text"),
    [
        (0, "0 %"),
        (1, "0.0001 %"),
        (125_000, "12.5 %"),
        (1_000_000, "100 %"),
        (999_999, "99.9999 %"),
    ],
)
def test_shares_are_written_exactly(ppm: int, text: str) -> None:
    assert percent(ppm) == text


def test_the_nearest_name_is_offered_and_many_are_only_counted() -> None:
    assert unknown("v22", ["v1", "v2"]) == "'v22' is not known; did you mean 'v2'?"
    assert unknown("x", []) == "'x' is not known; known are none"
    told = unknown("x", [f"flag-{number}" for number in range(1_021)])
    assert told.endswith("'flag-19' and 1,001 more")
