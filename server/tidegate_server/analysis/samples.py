"""What an analysis starts from: live aggregates, sums per unit, or raw events.

All three lead to the same `Figure`, and so to the same comparison. They differ in what they can
say: live aggregates are small and always at hand, sums per unit know each unit, raw events know
all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidegate_server.analysis.aggregates import OutcomeAggregate


@dataclass(frozen=True, slots=True, eq=False)
class LiveOutcome:
    """One outcome of one arm as the worker keeps it.

    units: the arm's bitmap of units seen, as in `ArmAggregate`.
    """

    outcome: OutcomeAggregate
    units: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class UnitTotals:
    """One outcome of one arm, summed by unit; a unit without events has count 0.

    count: shape (units,), int64, >= 0. total: shape (units,), float64.
    Phases can be combined where the same index means the same unit in each.
    """

    count: NDArray[np.int64]
    total: NDArray[np.float64]

    @property
    def units(self) -> int:
        """All units of the arm, with events or without."""
        return self.count.size


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One outcome of one arm, event by event.

    unit: shape (events,), int64, in [0, units). values: shape (events,), float64, finite.
    units: all units of the arm, with events or without.
    """

    unit: NDArray[np.int64]
    values: NDArray[np.float64]
    units: int


Data: TypeAlias = LiveOutcome | UnitTotals | Sample


def sample(unit: ArrayLike, values: ArrayLike, units: int | None = None) -> Sample:
    """Return one arm's events, checked.

    unit: the index of each event's unit, >= 0. values: as many. units: how many units the arm
    has; None: as many as the largest index says, so that units without events at the end are
    missed.

    Raises:
        ValueError: lengths differ, an index is out of range, or a value is not finite.
    """
    index = np.asarray(unit)
    numbers = np.asarray(values, np.float64)
    if index.size == 0:
        index = index.astype(np.int64)
    if index.dtype.kind not in "iu":
        raise ValueError("unit: indexes must be whole numbers; use sample_of_ids for ids")
    if index.shape != numbers.shape or index.ndim != 1:
        raise ValueError(
            f"unit, values: must be columns of one length, not {index.shape}, {numbers.shape}"
        )
    if not np.isfinite(numbers).all():
        raise ValueError("values: must be finite; leave out what was not measured")
    top = int(index.max(initial=-1)) + 1
    known = top if units is None else units
    if top > known or int(index.min(initial=0)) < 0:
        raise ValueError(f"unit: indexes must be in [0, {known})")
    return Sample(index.astype(np.int64, copy=False), numbers, known)


def sample_of_ids(exposed: ArrayLike, event_unit: ArrayLike, values: ArrayLike) -> Sample:
    """Return one arm's events, given by unit id.

    exposed: ids of all units of the arm, any order, repeats allowed. event_unit, values: of each
    event; events of units that were not exposed are an error, since they belong to no arm.

    Raises:
        ValueError: lengths differ, a unit was not exposed, or a value is not finite.
    """
    known = np.unique(np.asarray(exposed))
    ids = np.asarray(event_unit)
    place = np.searchsorted(known, ids) if known.size else np.zeros(ids.shape, np.int64)
    found = known[np.minimum(place, known.size - 1)] == ids if known.size else ids != ids
    if not np.all(found):
        raise ValueError(
            f"event_unit: {int(np.sum(~found))} events are of units that are not in `exposed`"
        )
    return sample(place, values, known.size)


def unit_totals(events: Sample) -> UnitTotals:
    """Return the sums per unit of one outcome."""
    return fold_units(events.unit, {"": events.values}, events.units)[""]


def fold_units(
    unit: NDArray[np.int64], columns: Mapping[str, NDArray[np.float64]], units: int
) -> dict[str, UnitTotals]:
    """Return the sums per unit of several outcomes that every row has.

    unit: shape (rows,), in [0, units). columns: by outcome, each of shape (rows,).

    Raises:
        ValueError: an index is out of range, or a column holds what is not finite.
    """
    count = np.bincount(unit, minlength=units)
    if count.size > units:
        raise ValueError(f"unit: indexes must be in [0, {units})")
    return {name: UnitTotals(count, _sums(unit, each, units)) for name, each in columns.items()}


def _sums(unit: NDArray[np.int64], values: NDArray[np.float64], units: int) -> NDArray[np.float64]:
    total = np.bincount(unit, weights=values, minlength=units)
    if not np.isfinite(total).all() and not np.isfinite(values).all():
        raise ValueError("values: must be finite; leave out what was not measured")
    return total.astype(np.float64, copy=False)
