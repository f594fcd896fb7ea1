"""Values ↔ messages of `tidegate.v1`: the only door to generated types."""

from tidegate.wire.assignments import (
    assignment_to_message,
    attributes_from_struct,
    attributes_to_struct,
    explanation_to_message,
    reason_from_number,
    reason_to_number,
)
from tidegate.wire.flags import (
    flag_from_message,
    flag_to_message,
    split_from_messages,
    split_to_messages,
)
from tidegate.wire.segments import segment_from_message, segment_to_message
from tidegate.wire.snapshots import (
    OnError,
    change_from_message,
    change_to_message,
    snapshot_from_message,
    snapshot_to_message,
)

__all__ = [
    "OnError",
    "assignment_to_message",
    "attributes_from_struct",
    "attributes_to_struct",
    "change_from_message",
    "change_to_message",
    "explanation_to_message",
    "flag_from_message",
    "flag_to_message",
    "reason_from_number",
    "reason_to_number",
    "segment_from_message",
    "segment_to_message",
    "snapshot_from_message",
    "snapshot_to_message",
    "split_from_messages",
    "split_to_messages",
]
