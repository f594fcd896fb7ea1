import pytest

from tidegate_server.analysis.crossover import Crossover
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.quality import Quality, judge_quality
from tidegate_server.analysis.sample_ratio import SampleRatio
from tidegate_server.analysis.telemetry import Loss

EVEN = SampleRatio(0.5, 0.5, 1, 0.0, 1.0, 0.0)
NO_CROSSOVER = Crossover(0.3, 0.5, 0.4)
NO_LOSS = Loss({"v1": 0.0, "v2": 0.0}, 0.0, excessive=False)


def test_nothing_wrong() -> None:
    assert judge_quality(EVEN, NO_CROSSOVER, 1_000, NO_LOSS) == Quality()
    unknown = NotEstimable(Cause.SATURATED)
    assert judge_quality(unknown, unknown, 1_000, NO_LOSS) == Quality()


def test_each_fault_is_said_in_words() -> None:
    found = judge_quality(
        SampleRatio(1e-5, 1e-5, 1, 11.0, 1.0, 0.0),
        Crossover(40.0, 3.0, 1e-9),
        1_000,
        Loss({"v1": 0.0, "v2": 0.03}, 0.03, excessive=True),
    )
    assert found.mismatch == "units are not split as promised (p = 1e-05)"
    assert found.others == (
        "some 40 units were seen in both variants",
        "outcomes were lost: v1 0.00%, v2 3.00%",
    )


@pytest.mark.parametrize(
    ("crossover", "units"), [(Crossover(40.0, 3.0, 0.01), 1_000), (Crossover(40.0, 3.0, 1e-9), 1e6)]
)
def test_crossover_must_be_certain_and_large_enough(crossover: Crossover, units: float) -> None:
    assert judge_quality(EVEN, crossover, units, NO_LOSS) == Quality()
