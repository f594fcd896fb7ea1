import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate_server.analysis.confidence_sequence import Tuning, effective_size
from tidegate_server.analysis.evidence import Bounds, sequence_source
from tidegate_server.analysis.figures import bare_figure
from tidegate_server.analysis.sequence_margins import Horizon, one_sided_margins
from tidegate_server.analysis.spread import PhaseFigures
from tidegate_server.domain.experiments.effects_of_runs import effects

PHASE = st.tuples(
    st.integers(0, 100_000), st.integers(0, 100_000), st.floats(0.5, 2.0), st.floats(0.5, 2.0)
)
"""Units and mean of control, and of treatment."""

PLANNED = 10_000.0


@settings(max_examples=50)
@given(
    st.lists(PHASE, min_size=1, max_size=4),
    st.floats(0.1, 3.0),
    st.floats(0.1, 3.0),
    st.floats(0.001, 0.4),
    st.sampled_from(Horizon),
)
def test_effects_are_those_of_the_analysis(
    phases: list[tuple[int, int, float, float]],
    control: float,
    treatment: float,
    alpha: float,
    horizon: Horizon,
) -> None:
    units = np.array([[n[:2]] for n in phases], float).reshape(len(phases), 2, 1)
    means = np.array([n[2:] for n in phases]).reshape(len(phases), 2, 1)
    counted = [
        PhaseFigures(
            bare_figure(c, control / math.sqrt(m), control / math.sqrt(m), m),
            bare_figure(t, treatment / math.sqrt(n), treatment / math.sqrt(n), n),
            m,
            n,
        )
        for m, n, c, t in phases
        if m and n
    ]
    size = sum(effective_size(each.control_units, each.treatment_units) for each in counted)
    information = np.array([max(size, 1e-9) / PLANNED])
    reach = one_sided_margins(information, alpha, horizon)
    found = effects(units, units * means, (control, treatment), [reach])
    lower, upper = (float(each[0]) for each in found.bounds[0])
    if not counted:
        assert math.isnan(found.value[0])
        assert math.isnan(lower)
        return
    bounds = sequence_source(counted, Tuning(PLANNED, burn_in=0, horizon=horizon))(alpha)
    assert isinstance(bounds, Bounds)
    assert (lower, upper) == pytest.approx((bounds.lower, bounds.upper), rel=1e-9)


def test_a_ratio_of_figures_that_are_not_positive_is_not_estimable() -> None:
    units, sums = np.full((1, 2, 2), 10.0), np.array([[[1.0, 1.0], [1.0, -1.0]]])
    found = effects(units, sums, (1.0, 1.0), [np.ones(2)])
    assert np.isnan(found.value).tolist() == [False, True]
    assert np.isnan(found.bounds[0][0]).tolist() == [False, True]
