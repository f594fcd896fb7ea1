"""`from tidegate_server import analysis`, as in a notebook."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tidegate_server.analysis
from tidegate_server import analysis
from tidegate_server.analysis import api


def test_a_comparison_in_a_notebook() -> None:
    rng = np.random.default_rng(1)
    control, treatment = (
        analysis.sample(rng.integers(0, 500, 5_000), rng.lognormal(mean, 1, 5_000), 500)
        for mean in (4.0, 4.2)
    )
    for statistic in analysis.Statistic:
        pair = analysis.figures_of(control, treatment, analysis.Metric(statistic))
        assert not isinstance(pair, analysis.NotEstimable)
        estimate = analysis.compare(*pair)
        assert isinstance(estimate, analysis.Estimate | analysis.NotEstimable)


def test_every_public_name_is_there_and_documented() -> None:
    modules = {path.stem for path in Path(tidegate_server.analysis.__path__[0]).glob("*.py")}
    for name in api.__all__:
        assert name not in modules
        assert (getattr(analysis, name).__doc__ or "").strip()
    assert set(dir(analysis)) == set(api.__all__)


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        analysis.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_one_module_does_not_load_all() -> None:
    """Servers and commands start without scipy.optimize and scipy.stats."""
    script = (
        "import sys, tidegate_server.analysis.metrics, tidegate_server.analysis.comparison\n"
        "print('scipy.stats' in sys.modules, 'scipy.optimize' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]
