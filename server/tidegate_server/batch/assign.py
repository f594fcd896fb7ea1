"""Many units of one flag at once, each given exactly what evaluation gives it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.bucketing import bucket
from tidegate.model import Flag, Reason, Snapshot, VariantKey
from tidegate_server.batch.attributes import Combinations, combine
from tidegate_server.batch.blocks import TextBlock, read_blocks
from tidegate_server.batch.murmur import PrefixedMurmur
from tidegate_server.batch.outcomes import Outcomes, covered, range_starts, relevant_attributes

FEW_BOUNDS = 12
"""Up to so many bounds, comparing with each is faster than a binary search."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchAssignment:
    """What many units of one flag are given.

    Unit i is given `variants[indices[i]]`; an index of -1 stands for none. What decided is
    `reasons[reason_indices[i]]`. `variants` are those of the flag, in its order.
    """

    variants: tuple[VariantKey, ...]
    indices: NDArray[np.int8]
    reasons: tuple[Reason, ...]
    reason_indices: NDArray[np.int8]


def assign_many(
    flag: Flag,
    unit_ids: Any,
    attributes: Mapping[str, Any] | None = None,
    *,
    snapshot: Snapshot | None = None,
) -> BatchAssignment:
    """Return what each unit is given: for all, the same as evaluating them one by one.

    Args:
        flag: the flag, as the server serves it.
        unit_ids: a numpy array of strings (fixed width, StringDType or objects), or an Arrow array
            or chunked array of strings. What is no valid id of a unit, such as None, an Arrow null
            or an empty string, is given none: Reason.INVALID_UNIT.
        attributes: what targeting rules look at, by name: a numpy or Arrow array gives each unit a
            value of its own; anything else is the same for all units.
        snapshot: the configuration that the flag is part of; what it says of other things than
            this flag counts too. None: the flag stands alone.

    Raises:
        InvalidField: an array has the wrong type, shape or length.
        ConfigurationError: there is an Arrow array, and pyarrow is not installed.
    """
    rows, blocks = read_blocks(unit_ids)
    around = snapshot or Snapshot(flag.revision)
    tables = covered(flag, around)
    relevant = relevant_attributes(flag) if tables else None
    combinations = combine(attributes, rows, relevant)
    outcomes = Outcomes(flag, around)
    assign = _Assigner(flag, outcomes, combinations) if tables else None
    indices = np.empty(rows, np.int8)
    reason_indices = np.empty(rows, np.int8)
    begin = 0
    for block in blocks:
        place = slice(begin, begin + len(block.lengths))
        if assign is None:
            numbers = _one_by_one(block, outcomes, combinations, begin)
        else:
            numbers = assign(block, begin)
        indices[place], reason_indices[place] = outcomes.columns(numbers)
        begin = place.stop
    return BatchAssignment(outcomes.variants, indices, outcomes.reasons, reason_indices)


def _one_by_one(
    block: TextBlock, outcomes: Outcomes, combinations: Combinations, begin: int
) -> NDArray[np.int16]:
    numbers = [
        outcomes.of_unit(block.unit(row), combinations.of(begin + row))
        for row in range(len(block.lengths))
    ]
    return np.array(numbers, np.int16)


class _Assigner:
    """Assigns blocks of a covered flag's units: hash, range, table.

    Units that have an override, or an id so long that its characters must be counted, are left to
    evaluation.
    """

    def __init__(self, flag: Flag, outcomes: Outcomes, combinations: Combinations) -> None:
        self._outcomes = outcomes
        self._combinations = combinations
        self._hasher = PrefixedMurmur(f"{flag.salt}:".encode())
        self._bounds = np.array(range_starts(flag)[1:], np.uint32)
        self._table = outcomes.of_ranges(combinations.distinct)
        self._invalid = outcomes.of_unit("", {})
        buckets = [bucket(flag.salt, override.unit_id) for override in flag.overrides]
        self._overridden = np.array(buckets, np.uint32)
        self._perhaps_overridden = np.zeros(1 << 16, np.bool_)  # by a bucket's upper half
        self._perhaps_overridden[self._overridden >> 16] = True

    def __call__(self, block: TextBlock, begin: int) -> NDArray[np.int16]:
        """Return the numbers of the outcomes of a block whose first row is `begin`."""
        buckets = self._hasher.hash(block)
        numbers = self._from_table(self._ranges(buckets), begin)
        numbers[block.lengths == 0] = self._invalid
        for row in self._left_to_evaluation(block, buckets):
            numbers[row] = self._outcomes.of_unit(
                block.unit(row), self._combinations.of(begin + row)
            )
        return numbers

    def _ranges(self, buckets: NDArray[np.uint32]) -> NDArray[np.intp]:
        """Return the place of the range that holds each bucket."""
        if len(self._bounds) > FEW_BOUNDS:
            return np.searchsorted(self._bounds, buckets, side="right")
        ranges = np.zeros(len(buckets), np.int8)
        for bound in self._bounds:
            ranges += (buckets >= bound).view(np.int8)
        return ranges.astype(np.intp)

    def _from_table(self, ranges: NDArray[np.intp], begin: int) -> NDArray[np.int16]:
        codes = self._combinations.codes
        if codes is not None:
            ranges = ranges + codes[begin : begin + len(ranges)] * self._table.shape[1]
        numbers: NDArray[np.int16] = self._table.reshape(-1).take(ranges)
        return numbers

    def _left_to_evaluation(
        self, block: TextBlock, buckets: NDArray[np.uint32]
    ) -> NDArray[np.intp]:
        if not len(self._overridden):
            return block.long
        rows = np.flatnonzero(self._perhaps_overridden.take(buckets >> 16))
        overridden = rows[np.isin(buckets[rows], self._overridden)]
        return np.concatenate([block.long, overridden])
