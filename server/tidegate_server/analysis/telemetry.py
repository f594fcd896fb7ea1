"""Lost and missing outcomes: the comparison is biased where one arm loses more than the other."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate_server.analysis.effects import Effect, difference
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.rates import proportion_of_moments

MOST_LOST = 0.01
"""The part of an arm's events that may be lost before its figures are in doubt."""

MOST_UNEVEN = 0.005
"""By how much the arms' parts may differ."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What reached the server from one arm.

    recorded, dropped: events, >= 0. units: seen, >= 0. reporting: units of which an outcome came,
    in [0, units]; None where that is not known, as from live aggregates.
    """

    recorded: int
    dropped: int
    units: int = 0
    reporting: int | None = None

    @property
    def lost(self) -> float:
        """The part of the events that clients dropped, in [0, 1]; 0 without events."""
        events = self.recorded + self.dropped
        return self.dropped / events if events else 0.0


@dataclass(frozen=True, slots=True)
class Loss:
    """What is missing. lost: the part of each variant's events, in [0, 1].

    uneven: greatest less least. excessive: whether the losses put the figures in doubt.
    """

    lost: dict[str, float]
    uneven: float
    excessive: bool


def lost_events(
    arms: Mapping[str, Telemetry], most: float = MOST_LOST, most_uneven: float = MOST_UNEVEN
) -> Loss:
    """Return the losses by variant. arms: at least one. most, most_uneven: in [0, 1].

    Clients drop events in bursts, when a queue is full, so a test that takes them for independent
    would alarm at once; sizes decide instead.
    """
    lost = {key: arm.lost for key, arm in arms.items()}
    uneven = max(lost.values()) - min(lost.values())
    return Loss(lost, uneven, max(lost.values()) > most or uneven > most_uneven)


def missing_outcomes(control: Telemetry, treatment: Telemetry) -> Effect | NotEstimable:
    """Compare the parts of the units of which an outcome came: treatment less control.

    Units being independent, the effect has a p-value; a difference says that a variant hinders its
    own outcomes from being seen (crashes, abandonment). Needs `units` and `reporting`.

    Raises:
        ValueError: `reporting` is not known or not within [0, units].
    """
    figures = []
    for name, arm in (("control", control), ("treatment", treatment)):
        if arm.reporting is None:
            raise ValueError(f"{name}.reporting: how many units reported an outcome must be known")
        figure = proportion_of_moments(arm.reporting, arm.units)
        if isinstance(figure, NotEstimable):
            return figure.about(name)
        figures.append(figure)
    return difference(*figures)
