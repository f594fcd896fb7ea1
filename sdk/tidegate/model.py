"""The values that assignment works on: immutable, and free of I/O and of generated types."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType, TypeAlias, TypeVar

FlagKey = NewType("FlagKey", str)
VariantKey = NewType("VariantKey", str)
SegmentKey = NewType("SegmentKey", str)
Revision = NewType("Revision", int)
Phase = NewType("Phase", int)

AttributeValue: TypeAlias = str | int | float | bool
JsonObject: TypeAlias = Mapping[str, Any]
K = TypeVar("K")
V = TypeVar("V")

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
    MATCHES = "matches"
    VERSION_EQUAL = "version_equal"
    VERSION_LESS = "version_less"
    VERSION_LESS_OR_EQUAL = "version_less_or_equal"
    VERSION_GREATER = "version_greater"
    VERSION_GREATER_OR_EQUAL = "version_greater_or_equal"
    BEFORE = "before"
    AFTER = "after"
    IN_SEGMENT = "in_segment"


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
    PREREQUISITE = "PREREQUISITE"
    HOLDOUT = "HOLDOUT"
    LAYER = "LAYER"
    NOT_ENROLLED = "NOT_ENROLLED"
    PINNED = "PINNED"


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
class Allocation:
    """Who owns which buckets: range i is [starts[i], starts[i + 1]), the last ends at BUCKETS.

    `starts` begins with 0 and rises strictly; `variants` is as long. The range that begins at p
    parts per million starts at ceil(p * BUCKETS / PPM).
    """

    starts: tuple[int, ...]
    variants: tuple[VariantKey, ...]


@dataclass(frozen=True, slots=True)
class RuleSplit:
    """A split among the units that a rule matches; `allocation` is set by the server."""

    shares: tuple[SplitShare, ...]
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class Rule:
    """Serves one variant, or a split of its own, to the units for which all clauses hold."""

    name: str
    clauses: tuple[Clause, ...]
    serve: VariantKey | RuleSplit


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
class LayerSlot:
    """A flag's place in a layer: `ppm` of all units, in [1, PPM].

    allocation: the layer's ranges, set by the server; those owned by the flag's own key are the
        slot, those owned by "" belong to others or to nobody.
    """

    layer: str
    ppm: int
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """What another flag must give the unit: one of `variants`, keys of that flag's variants."""

    flag: FlagKey
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
    enrolment_ppm: int = PPM
    layer: LayerSlot | None = None
    prerequisites: tuple[Prerequisite, ...] = ()
    unit_attribute: str = ""
    ignores_holdout: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A reusable set of units: the fields of `Segment` in segment.proto.

    rules: one of them must hold, that is all of its clauses.
    """

    key: SegmentKey
    revision: Revision
    included: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    rules: tuple[tuple[Clause, ...], ...] = ()
    description: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The configuration of an environment at one revision (>= 0; 0 before the first change).

    holdout_ppm: share of units in the global holdout, in [0, PPM].
    """

    revision: Revision
    flags: Mapping[FlagKey, Flag] = field(default_factory=dict)
    segments: Mapping[SegmentKey, Segment] = field(default_factory=dict)
    holdout_ppm: int = 0

    def after(self, change: "Change") -> "Snapshot":
        """Return the snapshot that `change`, the next one, makes of this.

        Raises:
            ValueError: the change is not the one that follows this snapshot.
        """
        if change.revision != self.revision + 1:
            raise ValueError(
                f"change.revision: {change.revision} does not follow {self.revision}; "
                "begin again from a snapshot"
            )
        match change:
            case FlagChange(key=key, flag=flag):
                flags = replaced(self.flags, key, flag)
                return replace(self, revision=change.revision, flags=flags)
            case SegmentChange(key=segment_key, segment=segment):
                segments = replaced(self.segments, segment_key, segment)
                return replace(self, revision=change.revision, segments=segments)
            case HoldoutChange(ppm=ppm):
                return replace(self, revision=change.revision, holdout_ppm=ppm)


@dataclass(frozen=True, slots=True)
class FlagChange:
    """One commit changed a flag; `flag` is None where it was deleted."""

    revision: Revision
    key: FlagKey
    flag: Flag | None


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """One commit changed a segment; `segment` is None where it was deleted."""

    revision: Revision
    key: SegmentKey
    segment: Segment | None


@dataclass(frozen=True, slots=True)
class HoldoutChange:
    """One commit changed the share of the global holdout to `ppm`, in [0, PPM]."""

    revision: Revision
    ppm: int


Change: TypeAlias = FlagChange | SegmentChange | HoldoutChange
"""What one commit changed."""


def replaced(mapping: Mapping[K, V], key: K, value: V | None) -> Mapping[K, V]:
    """Return a copy of `mapping` with another value at `key`, or without it for None."""
    copy = {**mapping}
    copy.pop(key, None)
    if value is not None:
        copy[key] = value
    return copy
