"""Segments."""

from tidegate.model import Revision, Segment, SegmentKey
from tidegate.v1 import segment_pb2
from tidegate.wire.clauses import clauses_from_messages, clauses_to_messages
from tidegate.wire.fields import at_least, time_from_message, time_to_message


def segment_to_message(segment: Segment) -> segment_pb2.Segment:
    """Return a segment as a message, units in the order of their ids.

    Raises:
        WireError: a clause's value has no form in JSON.
    """
    return segment_pb2.Segment(
        key=segment.key,
        description=segment.description,
        included_unit_ids=sorted(segment.included),
        excluded_unit_ids=sorted(segment.excluded),
        rules=[
            segment_pb2.SegmentRule(clauses=clauses_to_messages(clauses, f"rules[{i}]"))
            for i, clauses in enumerate(segment.rules)
        ],
        revision=segment.revision,
        create_time=time_to_message(segment.create_time),
        update_time=time_to_message(segment.update_time),
    )


def segment_from_message(message: segment_pb2.Segment, *, newer_server: bool = False) -> Segment:
    """Return the segment that a message describes.

    newer_server: whether a clause with an operator that is not known never matches, rather than
        being an error.

    Raises:
        WireError: names the field that is out of its range.
    """
    at_least(0, message.revision, "revision")
    return Segment(
        key=SegmentKey(message.key),
        revision=Revision(message.revision),
        included=frozenset(message.included_unit_ids),
        excluded=frozenset(message.excluded_unit_ids),
        rules=tuple(
            clauses_from_messages(rule.clauses, f"rules[{i}]", newer_server=newer_server)
            for i, rule in enumerate(message.rules)
        ),
        description=message.description,
        create_time=time_from_message(message, "create_time"),
        update_time=time_from_message(message, "update_time"),
    )
