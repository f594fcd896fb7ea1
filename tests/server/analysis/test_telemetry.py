import pytest

from tidegate_server.analysis.effects import Effect
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.telemetry import Telemetry, lost_events, missing_outcomes


@pytest.mark.parametrize(
    ("control", "treatment", "excessive"),
    [
        ((10_000, 0), (10_000, 0), False),
        ((10_000, 40), (10_000, 50), False),
        ((10_000, 200), (10_000, 200), True),
        ((10_000, 0), (10_000, 70), True),
        ((0, 0), (0, 0), False),
        ((0, 5), (100, 0), True),
    ],
)
def test_losses(control: tuple[int, int], treatment: tuple[int, int], *, excessive: bool) -> None:
    loss = lost_events({"v1": Telemetry(*control), "v2": Telemetry(*treatment)})
    assert loss.excessive is excessive
    assert loss.uneven == pytest.approx(abs(loss.lost["v1"] - loss.lost["v2"]))


def test_units_without_outcomes() -> None:
    same = missing_outcomes(Telemetry(0, 0, 1_000, 900), Telemetry(0, 0, 500, 450))
    fewer = missing_outcomes(Telemetry(0, 0, 1_000, 900), Telemetry(0, 0, 500, 400))
    assert isinstance(same, Effect)
    assert isinstance(fewer, Effect)
    assert same.p_value() == 1.0
    p_value = fewer.p_value()
    assert isinstance(p_value, float)
    assert p_value < 1e-4
    assert fewer.value == pytest.approx(-0.1)


def test_what_cannot_be_said() -> None:
    one = missing_outcomes(Telemetry(0, 0, 10, 9), Telemetry(0, 0, 1, 1))
    assert one == NotEstimable(Cause.TOO_FEW_UNITS, "treatment")
    with pytest.raises(ValueError, match=r"control\.reporting"):
        missing_outcomes(Telemetry(0, 0, 10), Telemetry(0, 0, 10, 9))
