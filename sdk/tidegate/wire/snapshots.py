"""Snapshots and changes: what a server serves.

It must be complete; but an operator of a newer server is taken as one that never matches, and a
flag or segment that can't be read is left out and reported, so that one can't break the others.
"""

from collections.abc import Callable, Iterator

from tidegate.errors import WireError
from tidegate.model import (
    Change,
    Flag,
    FlagChange,
    FlagKey,
    HoldoutChange,
    Revision,
    RuleSplit,
    Segment,
    SegmentChange,
    SegmentKey,
    Snapshot,
    VariantKey,
)
from tidegate.v1 import assignment_service_pb2, flag_pb2, segment_pb2
from tidegate.wire.fields import at_least, checked_ppm
from tidegate.wire.flags import flag_from_message, flag_to_message
from tidegate.wire.segments import segment_from_message, segment_to_message

OnError = Callable[[WireError], None]


def snapshot_to_message(snapshot: Snapshot) -> assignment_service_pb2.FlagSnapshot:
    """Return a snapshot as a message, flags and segments in the order of their keys."""
    return assignment_service_pb2.FlagSnapshot(
        revision=snapshot.revision,
        flags=[flag_to_message(snapshot.flags[key]) for key in sorted(snapshot.flags)],
        segments=[segment_to_message(snapshot.segments[key]) for key in sorted(snapshot.segments)],
        holdout_ppm=snapshot.holdout_ppm,
    )


def snapshot_from_message(
    message: assignment_service_pb2.FlagSnapshot, on_error: OnError
) -> Snapshot:
    """Return the snapshot that a message describes.

    `on_error` is told of each flag or segment that can't be read; it is left out.

    Raises:
        WireError: the revision or the holdout is out of its range.
    """
    at_least(0, message.revision, "snapshot.revision")
    flags = (_served(each, on_error) for each in message.flags)
    segments = (_served_segment(each, on_error) for each in message.segments)
    return Snapshot(
        Revision(message.revision),
        {flag.key: flag for flag in flags if flag is not None},
        {segment.key: segment for segment in segments if segment is not None},
        checked_ppm(message.holdout_ppm, "snapshot.holdout_ppm"),
    )


def change_to_message(change: Change) -> assignment_service_pb2.FlagChange:
    """Return a change as a message."""
    message = assignment_service_pb2.FlagChange(revision=change.revision)
    match change:
        case FlagChange(flag=None, key=key):
            message.deleted_key = key
        case FlagChange(flag=Flag() as flag):
            message.flag.CopyFrom(flag_to_message(flag))
        case SegmentChange(segment=None, key=key):
            message.deleted_segment_key = key
        case SegmentChange(segment=Segment() as segment):
            message.segment.CopyFrom(segment_to_message(segment))
        case HoldoutChange(ppm=ppm):
            message.holdout_ppm = ppm
    return message


def change_from_message(message: assignment_service_pb2.FlagChange, on_error: OnError) -> Change:
    """Return the change that a message describes.

    `on_error` is told if the flag or segment can't be read; it then counts as deleted, as in a
    snapshot.

    Raises:
        WireError: a number is out of its range, or nothing is said to have changed.
    """
    at_least(1, message.revision, "change.revision")
    revision = Revision(message.revision)
    match message.WhichOneof("change"):
        case "flag":
            flag_key = FlagKey(message.flag.key)
            return FlagChange(revision, flag_key, _served(message.flag, on_error))
        case "deleted_key":
            return FlagChange(revision, FlagKey(message.deleted_key), None)
        case "segment":
            segment_key = SegmentKey(message.segment.key)
            return SegmentChange(revision, segment_key, _served_segment(message.segment, on_error))
        case "deleted_segment_key":
            return SegmentChange(revision, SegmentKey(message.deleted_segment_key), None)
        case "holdout_ppm":
            return HoldoutChange(revision, checked_ppm(message.holdout_ppm, "change.holdout_ppm"))
    raise WireError("change: nothing that is known is set; update the SDK")


def _served(message: flag_pb2.Flag, on_error: OnError) -> Flag | None:
    try:
        flag = flag_from_message(message, newer_server=True)
        _check_complete(flag)
    except WireError as error:
        on_error(WireError(f"flag {message.key!r}: {error}"))
        return None
    return flag


def _served_segment(message: segment_pb2.Segment, on_error: OnError) -> Segment | None:
    try:
        return segment_from_message(message, newer_server=True)
    except WireError as error:
        on_error(WireError(f"segment {message.key!r}: {error}"))
        return None


def _check_complete(flag: Flag) -> None:
    if not flag.allocation.starts:
        raise WireError("allocation: is empty")
    if flag.layer is not None and not flag.layer.allocation.starts:
        raise WireError("layer.allocation: is empty")
    known = {variant.key for variant in flag.variants}
    for field, key in _named_variants(flag):
        if key not in known:
            raise WireError(f"{field}: the flag has no variant {key!r}")
    for i, rule in enumerate(flag.rules):
        if not rule.clauses:
            raise WireError(f"rules[{i}].clauses: is empty")
        if isinstance(rule.serve, RuleSplit) and not rule.serve.allocation.starts:
            raise WireError(f"rules[{i}].split.allocation: is empty")


def _named_variants(flag: Flag) -> Iterator[tuple[str, VariantKey]]:
    yield "default_variant", flag.default
    for i, key in enumerate(flag.allocation.variants):
        yield f"allocation.variants[{i}]", key
    for i, rule in enumerate(flag.rules):
        if isinstance(rule.serve, RuleSplit):
            for j, key in enumerate(rule.serve.allocation.variants):
                yield f"rules[{i}].split.allocation.variants[{j}]", key
        else:
            yield f"rules[{i}].variant", rule.serve
    for i, override in enumerate(flag.overrides):
        yield f"overrides[{i}].variant", override.variant
