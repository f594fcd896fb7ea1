"""The values that assignment works on: immutable, and free of I/O and of generated types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType, TypeAlias

FlagKey = NewType("FlagKey", str)
VariantKey = NewType("VariantKey", str)
Revision = NewType("Revision", int)
Phase = NewType("Phase", int)

AttributeValue: TypeAlias = str | int | float | bool
JsonObject: TypeAlias = Mapping[str, Any]

PPM = 1_000_000
"""Parts per million in a whole: the shares of a split add up to this."""

BUCKETS = 1 << 32
"""Number of buckets: a bucket is an integer in [0, BUCKETS)."""


class Operator(StrEnum):
    """How a clause compares an attribute; see `Operator` in flag.proto."""

    IN = "in"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    LESS = "less"
    LESS_OR_EQUAL = "less_or_equal"
    GREATER = "greater"
    GREATER_OR_EQUAL = "greater_or_equal"
    EXISTS = "exists"


class Direction(StrEnum):
    """Which way a metric is better."""

    UNKNOWN = "unknown"
    LOWER = "lower"
    HIGHER = "higher"


class Reason(StrEnum):
    """What decided an assignment; see `Reason` in assignment_service.proto."""

    KILLED = "KILLED"
    OVERRIDE = "OVERRIDE"
    RULE = "RULE"
    SPLIT = "SPLIT"
    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
    NOT_READY = "NOT_READY"
    INVALID_UNIT = "INVALID_UNIT"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Variant:
    """One arm of a flag. `value` is what the application receives: for a model its version."""

    key: VariantKey
    value: JsonObject


@dataclass(frozen=True, slots=True)
class SplitShare:
    """The share of units one variant gets: `ppm` in [0, PPM]."""

    variant: VariantKey
    ppm: int


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition on one attribute; a missing attribute never matches, negated or not."""

    attribute: str
    operator: Operator
    values: tuple[AttributeValue, ...] = ()
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Serves `variant` to the units for which all clauses hold."""

    name: str
    clauses: tuple[Clause, ...]
    variant: VariantKey


@dataclass(frozen=True, slots=True)
class Override:
    """Gives one unit a fixed variant."""

    unit_id: str
    variant: VariantKey


@dataclass(frozen=True, slots=True)
class Metric:
    """How the outcomes of one name become a figure."""

    outcome: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Allocation:
    """Who owns which buckets: range i is [starts[i], starts[i + 1]), the last ends at BUCKETS.

    `starts` begins with 0 and rises strictly; `variants` is as long. The range that begins at p
    parts per million starts at ceil(p * BUCKETS / PPM).
    """

    starts: tuple[int, ...]
    variants: tuple[VariantKey, ...]


@dataclass(frozen=True, slots=True)
class Flag:
    """What application code asks for: the fields of `Flag` in flag.proto, with its ranges.

    `allocation`, `phase` (>= 1), `revision` (>= 1) and the times are set by the server.
    """

    key: FlagKey
    variants: tuple[Variant, ...]
    default: VariantKey
    split: tuple[SplitShare, ...]
    salt: str
    allocation: Allocation
    phase: Phase
    revision: Revision
    rules: tuple[Rule, ...] = ()
    overrides: tuple[Override, ...] = ()
    killed: bool = False
    description: str = ""
    metrics: tuple[Metric, ...] = ()
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All flags of an environment at one revision (>= 0; 0 before the first change)."""

    revision: Revision
    flags: Mapping[FlagKey, Flag] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit changed: `flag` is None where `key` was deleted."""

    revision: Revision
    key: FlagKey
    flag: Flag | None
