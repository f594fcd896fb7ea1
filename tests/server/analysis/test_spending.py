import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tidegate_server.analysis.spending import (
    Spending,
    hwang_shih_decani,
    obrien_fleming,
    pocock,
    power_family,
)

FAMILIES = [
    obrien_fleming,
    pocock,
    power_family(0.3),
    power_family(3),
    hwang_shih_decani(-4),
    hwang_shih_decani(0),
    hwang_shih_decani(1),
]


@pytest.mark.parametrize("spending", FAMILIES)
@given(st.floats(1e-6, 0.5), st.floats(0, 1), st.floats(0, 1))
def test_rises_from_nothing_to_alpha(
    spending: Spending, alpha: float, first: float, second: float
) -> None:
    early, late = sorted((first, second))
    assert spending(0.0, alpha) == 0.0
    assert spending(1.0, alpha) == pytest.approx(alpha, rel=1e-12)
    assert 0.0 <= spending(early, alpha) <= spending(late, alpha) * (1 + 1e-12)


def test_formulas() -> None:
    """Lan and DeMets 1983; Kim and DeMets 1987; Hwang, Shih, DeCani 1990."""
    z = stats.norm.isf(0.0125)
    assert obrien_fleming(0.3, 0.025) == pytest.approx(2 * stats.norm.sf(z / math.sqrt(0.3)))
    assert pocock(0.3, 0.025) == pytest.approx(0.025 * math.log(1 + (math.e - 1) * 0.3))
    assert power_family(1.5)(0.3, 0.025) == pytest.approx(0.025 * 0.3**1.5)
    expected = 0.025 * (1 - math.exp(4 * 0.3)) / (1 - math.exp(4))
    assert hwang_shih_decani(-4)(0.3, 0.025) == pytest.approx(expected)
    assert hwang_shih_decani(0)(0.3, 0.025) == pytest.approx(0.0075)


@pytest.mark.parametrize("power", [0.0, -1.0, math.inf, math.nan])
def test_a_power_must_be_positive(power: float) -> None:
    with pytest.raises(ValueError, match="power"):
        power_family(power)


@pytest.mark.parametrize("gamma", [-101.0, 101.0, math.nan])
def test_gamma_is_bounded(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma"):
        hwang_shih_decani(gamma)
