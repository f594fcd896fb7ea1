"""What a flag can give a unit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from tidegate.attributes import Attributes
from tidegate.model import FlagKey, Phase, Reason, Revision, VariantKey

NO_PHASE = Phase(0)
"""Stands where there is no flag."""


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What a unit is given, and why: built once for a flag and shared by all its units.

    `variant` is "" where `reason` says that there is none; then `value` is the caller's default.
    `rule` names the rule for Reason.RULE, otherwise it is "". `phase` is 0 where there is no flag.
    `unit_attribute` is the flag's: where it is not "", see `randomised_unit` for the unit that
    events are about. Compared by identity.
    """

    flag: FlagKey
    variant: VariantKey
    value: Any
    reason: Reason
    rule: str
    phase: Phase
    unit_attribute: str = ""

    def with_value(self, value: Any) -> "Given":
        """Return the same with another value."""
        return replace(self, value=value)


class Grant:
    """What is given at one revision of the environment: shared by all units that are given it."""

    __slots__ = ("given", "revision")

    def __init__(self, given: Given, revision: Revision) -> None:
        self.given = given
        self.revision = revision


Chooser: TypeAlias = Callable[[object, Attributes | None], Given]
"""A compiled flag: from a unit's id and attributes to what the unit is given."""


def nothing(
    flag_key: str, reason: Reason, phase: Phase = NO_PHASE, unit_attribute: str = ""
) -> Given:
    """Return what is given where there is no variant to give."""
    return Given(FlagKey(flag_key), VariantKey(""), None, reason, "", phase, unit_attribute)


def always(given: Given) -> Chooser:
    """Return the chooser that gives the same to everybody."""
    return lambda _, __: given
