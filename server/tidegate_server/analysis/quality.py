"""Whether the evidence can be trusted at all."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate_server.analysis.crossover import Crossover
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.sample_ratio import SampleRatio
from tidegate_server.analysis.telemetry import Loss

ALPHA = 0.001
"""Level of the checks: they are made at every look, and a false alarm stops a rollout."""

MOST_CROSSED = 0.001
"""The part of the smaller arm's units that may have been seen in both."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What is wrong with the evidence, in words; empty where nothing is.

    mismatch: the arms have not the units that the split promised. Other faults: units in two
    variants, lost or missing outcomes.
    """

    mismatch: str = ""
    others: tuple[str, ...] = ()


def judge_quality(
    sample_ratio: SampleRatio | NotEstimable,
    crossover: Crossover | NotEstimable,
    smaller_units: float,
    loss: Loss,
) -> Quality:
    """Return the faults of the evidence.

    sample_ratio, crossover: of the phase; what is not estimable is no fault. smaller_units: units
    of the smaller arm, >= 0.
    """
    mismatch, others = "", []
    if isinstance(sample_ratio, SampleRatio) and sample_ratio.p_value < ALPHA:
        mismatch = f"units are not split as promised (p = {sample_ratio.p_value:.2g})"
    if isinstance(crossover, Crossover) and crossed(crossover, smaller_units):
        others.append(f"some {crossover.units:,.0f} units were seen in both variants")
    if loss.excessive:
        others.append(f"outcomes were lost: {_percentages(loss.lost)}")
    return Quality(mismatch, tuple(others))


def crossed(crossover: Crossover, smaller_units: float) -> bool:
    """Return whether units changed sides: certainly (p < 0.001), and more than 0.1 %.

    smaller_units: units of the smaller arm, >= 0.
    """
    return crossover.p_value < ALPHA and crossover.units > MOST_CROSSED * smaller_units


def _percentages(lost: Mapping[str, float]) -> str:
    return ", ".join(f"{key} {part:.2%}" for key, part in lost.items())
