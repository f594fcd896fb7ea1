"""Events as columns, decoupled from their encoding."""

from dataclasses import dataclass
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from tidegate.model import FlagKey, Phase, VariantKey

BatchId = NewType("BatchId", bytes)
Shard = NewType("Shard", int)
WorkerId = NewType("WorkerId", str)
Offset = NewType("Offset", str)
"""Position in a shard's stream: the id of the last entry that a reader is done with."""

Reader = NewType("Reader", str)
"""Who reads the shards' streams, each entry once: a name of a-z, 0-9 and "-"."""

START = Offset("0-0")

FOLD = Reader("fold")
"""The reader that keeps the live aggregates: `AggregateStore.commit` moves it on."""


@dataclass(frozen=True, slots=True, order=True)
class Arm:
    """A flag's variant in one phase (>= 1).

    outside_split: units that something other than the split gave the variant; they were not
        randomised, so they are counted apart and take part in no comparison.
    """

    flag: FlagKey
    phase: Phase
    variant: VariantKey
    outside_split: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """What a run of events is about; an empty outcome means exposures."""

    arm: Arm
    outcome: str


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Events as columns of one length n: entry i of each describes event i.

    series_index: shape (n,), into `series`. unit_hash: shape (n,), unsigned. time_ms: shape (n,),
    ms since 1970 UTC. value: shape (n,), finite; 1 for an exposure. dropped: events lost by
    clients, by arm.
    """

    series: tuple[Series, ...]
    series_index: NDArray[np.int64]
    unit_hash: NDArray[np.uint64]
    time_ms: NDArray[np.int64]
    value: NDArray[np.float64]
    dropped: dict[Arm, int]
