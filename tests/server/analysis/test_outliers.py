import numpy as np
import pytest

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, bare_figure
from tidegate_server.analysis.means import mean_per_unit_figure, unit_mean_figure
from tidegate_server.analysis.outliers import Outliers, find_outliers
from tidegate_server.analysis.samples import UnitTotals


def per_unit(values: np.ndarray) -> Figure:
    result = mean_per_unit_figure(UnitTotals(np.ones(values.size, np.int64), values))
    assert isinstance(result, Figure)
    return result


def known(result: Outliers | NotEstimable) -> Outliers:
    assert isinstance(result, Outliers)
    return result


def test_the_unit_that_decides_is_found_and_what_it_does() -> None:
    rng = np.random.default_rng(1)
    control, treatment = rng.normal(10, 1, 500), rng.normal(10, 1, 300)
    treatment[123] = 1_000.0
    result = known(find_outliers(per_unit(control), per_unit(treatment)))
    worst = result.greatest[0]
    assert (worst.arm, worst.cluster) == ("treatment", 123)
    without = np.delete(treatment, 123).mean() - treatment.mean()
    assert worst.shift == pytest.approx(without, rel=1e-9)
    assert worst.variance_share > 0.99
    assert result.dominated
    assert result.effective_clusters < 1.1


def test_an_outlier_of_the_control_shifts_the_difference_the_other_way() -> None:
    rng = np.random.default_rng(2)
    control, treatment = rng.normal(10, 1, 500), rng.normal(10, 1, 300)
    control[7] = 500.0
    worst = known(find_outliers(per_unit(control), per_unit(treatment))).greatest[0]
    assert (worst.arm, worst.cluster) == ("control", 7)
    assert worst.shift == pytest.approx(control.mean() - np.delete(control, 7).mean(), rel=1e-9)


def test_leaving_a_unit_out_of_a_ratio_is_close_to_the_truth() -> None:
    rng = np.random.default_rng(3)
    count = rng.geometric(0.2, 400)
    total = count * rng.lognormal(0, 1, 400)
    ratio = unit_mean_figure(UnitTotals(count, total))
    assert isinstance(ratio, Figure)
    worst = known(find_outliers(per_unit(rng.normal(0, 1e-6, 50)), ratio)).greatest[0]
    rest = np.arange(400) != worst.cluster
    without = total[rest].sum() / count[rest].sum() - ratio.value
    assert worst.shift == pytest.approx(without, rel=0.1)


def test_even_data_have_no_dominant_unit() -> None:
    rng = np.random.default_rng(4)
    result = known(
        find_outliers(per_unit(rng.normal(0, 1, 500)), per_unit(rng.normal(0, 1, 500)), 3)
    )
    assert len(result.greatest) == 3
    assert not result.dominated
    assert result.effective_clusters > 200


def test_what_cannot_be_said() -> None:
    bare, constant = bare_figure(1.0, 0.1, 0.1, 10), per_unit(np.ones(5))
    assert find_outliers(bare, constant) == NotEstimable(Cause.NEEDS_UNITS)
    assert find_outliers(constant, constant) == NotEstimable(Cause.ZERO_VARIANCE)
