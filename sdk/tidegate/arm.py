"""What an event is about: an arm of a flag in one phase, inside or outside the flag's split."""

from dataclasses import dataclass
from functools import lru_cache

from tidegate.evaluation import Given
from tidegate.model import FlagKey, Phase, Reason, VariantKey
from tidegate.model_version import version_id

IN_SPLIT = frozenset({Reason.SPLIT, Reason.PINNED})
"""Reasons behind which the flag's own split stands; all others are outside of it."""


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm as events name it: the fields of `Series` in event_service.proto, but the outcome.

    `phase` >= 1. `version_id` identifies the variant's value: 16 hexadecimal digits.
    """

    flag: FlagKey
    variant: VariantKey
    phase: Phase
    outside_split: bool
    version_id: str


def outside_split(given: Given) -> bool:
    """Return whether something other than the flag's split decided.

    A rule's own split counts as outside, pinned or not: its units are not the flag's at random.
    """
    return given.reason not in IN_SPLIT or given.rule != ""


def arm_of(what: Given | Arm) -> Arm:
    """Return the arm of what a unit was given."""
    return what if isinstance(what, Arm) else _arm_of_given(what)


@lru_cache(maxsize=1_024)
def _arm_of_given(given: Given) -> Arm:
    return Arm(
        given.flag, given.variant, given.phase, outside_split(given), version_id(given.value)
    )
