"""Fields that several messages have: numbers in a range, times, allocations."""

from datetime import UTC, datetime

from google.protobuf import timestamp_pb2

from tidegate.errors import WireError
from tidegate.model import BUCKETS, PPM, Allocation, VariantKey
from tidegate.v1 import flag_pb2, segment_pb2


def checked_ppm(ppm: int, field: str) -> int:
    """Return a share.

    Raises:
        WireError: `ppm` is not in [0, PPM].
    """
    if not 0 <= ppm <= PPM:
        raise WireError(f"{field}: {ppm} is out of range: give 0 to {PPM:,} ppm")
    return ppm


def at_least(least: int, number: int, field: str) -> None:
    """Check a number.

    Raises:
        WireError: `number` is below `least`.
    """
    if number < least:
        raise WireError(f"{field}: {number} is out of range: at least {least}")


def time_to_message(moment: datetime | None) -> timestamp_pb2.Timestamp | None:
    """Return a moment as a message."""
    if moment is None:
        return None
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message


def time_from_message(message: flag_pb2.Flag | segment_pb2.Segment, field: str) -> datetime | None:
    """Return the moment that a message's field holds, in UTC; None where it is not set.

    Raises:
        WireError: it is outside the years 1 to 9999.
    """
    if not message.HasField(field):  # type: ignore[arg-type]
        return None
    try:
        moment: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise WireError(f"{field}: is no moment of the years 1 to 9999") from error
    return moment


def allocation_to_message(allocation: Allocation) -> flag_pb2.Allocation:
    """Return an allocation as a message."""
    return flag_pb2.Allocation(starts=allocation.starts, variants=allocation.variants)


def allocation_from_message(message: flag_pb2.Allocation, path: str = "allocation") -> Allocation:
    """Return the allocation that a message describes, which may be empty; `path` leads to it.

    Raises:
        WireError: the ranges are not sorted from 0, or not as many as their owners.
    """
    starts = tuple(message.starts)
    if len(starts) != len(message.variants):
        raise WireError(
            f"{path}: {len(starts)} starts and {len(message.variants)} variants; "
            "there must be as many of each"
        )
    if starts and starts[0] != 0:
        raise WireError(f"{path}.starts[0]: {starts[0]} must be 0")
    for i in range(1, len(starts)):
        if not starts[i - 1] < starts[i] < BUCKETS:
            raise WireError(f"{path}.starts[{i}]: {starts[i]} must be above {starts[i - 1]}")
    return Allocation(starts, tuple(VariantKey(key) for key in message.variants))
