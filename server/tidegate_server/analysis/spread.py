"""What keeps small arms honest: neither arm is taken to spread less than the other.

A figure that is low by chance comes with a standard error that is low by chance: the few users who
have all the errors are missing. In a canary of 5 % that is enough to make "the canary looks better"
a regular false alarm. The larger arm knows the spread, and lends it.
"""

import math
from dataclasses import dataclass, replace

from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.phases import Pair


@dataclass(frozen=True, slots=True)
class PhaseFigures:
    """Control and treatment in one phase, with the numbers of their units, >= 0."""

    control: Figure
    treatment: Figure
    control_units: float
    treatment_units: float


def steadied(phase: PhaseFigures, power: float) -> Pair:
    """Return both figures, neither spreading less between units than the other.

    Errors of equal spread are in the ratio of the units' square roots. power: how spread is taken
    to follow the level, in [0, 1]: it is compared after division by |value| ** power. 0 compares
    spreads as they are; 0.5 is how counts of rare events spread. Where the figures are not of one
    sign they are compared as they are.
    """
    control, treatment = phase.control, phase.treatment
    if not (phase.control_units > 0 and phase.treatment_units > 0):
        return control, treatment
    level = treatment.value / control.value if control.value else 0.0
    size = math.sqrt(phase.control_units / phase.treatment_units)
    scale = size * (level**power if 0.0 < level < math.inf else 1.0)
    known, other = control.standard_error, treatment.standard_error
    return _widened(control, known, other / scale), _widened(treatment, other, known * scale)


def _widened(figure: Figure, error: float, least: float) -> Figure:
    """Return the figure with a standard error of at least `least`, its sides in proportion.

    error: the figure's own.
    """
    if least <= error:
        return figure
    if error == 0.0:
        return replace(figure, below=least, above=least)
    factor = least / error
    return Figure(
        figure.value,
        factor * figure.below,
        factor * figure.above,
        factor * figure.influence,
        figure.occupied,
        figure.events,
        figure.known_degrees,
    )
