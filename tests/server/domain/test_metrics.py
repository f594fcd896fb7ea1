import pytest

from tidegate.model import Direction, Metric
from tidegate_server.analysis.effects import Interval
from tidegate_server.domain.metrics import Better, better_side, direction_of

METRICS = (Metric("margin_eur", Direction.HIGHER), Metric("rating", Direction.LOWER))


@pytest.mark.parametrize(
    ("outcome", "direction"),
    [
        ("latency_ms", Direction.LOWER),
        ("error", Direction.LOWER),
        ("cost_usd", Direction.LOWER),
        ("margin_eur", Direction.HIGHER),
        ("tokens", Direction.UNKNOWN),
    ],
)
def test_direction(outcome: str, direction: Direction) -> None:
    assert direction_of(outcome, METRICS) is direction


def test_what_a_flag_declares_comes_before_what_is_known() -> None:
    assert direction_of("rating", ()) is Direction.HIGHER
    assert direction_of("rating", METRICS) is Direction.LOWER


@pytest.mark.parametrize(
    ("lower", "upper", "direction", "better"),
    [
        (1.0, 2.0, Direction.HIGHER, Better.TREATMENT),
        (1.0, 2.0, Direction.LOWER, Better.CONTROL),
        (-2.0, -1.0, Direction.HIGHER, Better.CONTROL),
        (-2.0, -1.0, Direction.LOWER, Better.TREATMENT),
        (-1.0, 2.0, Direction.LOWER, Better.NEITHER),
        (0.0, 2.0, Direction.HIGHER, Better.NEITHER),
        (1.0, 2.0, Direction.UNKNOWN, Better.UNKNOWN),
    ],
)
def test_better_side(lower: float, upper: float, direction: Direction, better: Better) -> None:
    assert better_side(Interval(lower, upper), direction) is better
