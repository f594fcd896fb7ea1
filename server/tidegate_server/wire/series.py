"""The small messages of a batch: its series and its counts of dropped events."""

import re
from collections.abc import Sequence
from functools import lru_cache

from google.protobuf.message import DecodeError

from tidegate.model import FlagKey, Phase, VariantKey
from tidegate.v1 import event_service_pb2
from tidegate_server.domain.checks import KEY, KEY_RULE
from tidegate_server.domain.events import Arm, Series
from tidegate_server.domain.intake import MAX_DROPPED, Dictionary, SentDropped, SentSeries
from tidegate_server.errors import InvalidField

MOST_REMEMBERED = 4_096
LONGEST_REMEMBERED = 512
"""Series of up to so many bytes are remembered as they were read, for batches repeat them."""

MOST_DICTIONARIES = 512
LONGEST_DICTIONARY = 64
"""Dictionaries of up to so many series that are remembered are remembered too."""

_OUTCOME = re.compile(r"[a-z0-9._-]{0,100}")
_VERSION_ID = re.compile(r"(?:[0-9a-f]{16})?")


def dictionary(encoded: Sequence[bytes]) -> Dictionary:
    """Return what serialized Series say.

    Raises:
        InvalidField: one is none.
    """
    if (
        len(encoded) <= LONGEST_DICTIONARY
        and max(map(len, encoded), default=0) <= LONGEST_REMEMBERED
    ):
        return _remembered_dictionary(tuple(encoded))
    return Dictionary.of(tuple([_sent_series(each) for each in encoded]))


def _sent_series(encoded: bytes) -> SentSeries:
    return _remembered(encoded) if len(encoded) <= LONGEST_REMEMBERED else _read(encoded)


@lru_cache(MOST_DICTIONARIES)
def _remembered_dictionary(encoded: tuple[bytes, ...]) -> Dictionary:
    return Dictionary.of(tuple([_remembered(each) for each in encoded]))


def sent_dropped(encoded: bytes) -> SentDropped:
    """Return what serialized DroppedEvents say.

    Raises:
        InvalidField: they are none.
    """
    try:
        message = event_service_pb2.DroppedEvents.FromString(encoded)
    except DecodeError as error:
        raise InvalidField("dropped_events", f"has an entry that is no message ({error})") from None
    arm, problem = _arm(message)
    if not problem and not 1 <= message.count <= MAX_DROPPED:
        problem = f"count: {message.count} is out of range: give 1 to {MAX_DROPPED:,}"
    return SentDropped(arm, message.count, problem)


def _read(encoded: bytes) -> SentSeries:
    try:
        message = event_service_pb2.Series.FromString(encoded)
    except DecodeError as error:
        raise InvalidField("series", f"has an entry that is no message ({error})") from None
    arm, problem = _arm(message, outside_split=message.outside_split)
    if arm is None:
        return SentSeries(None, None, problem)
    if not _OUTCOME.fullmatch(message.outcome):
        return SentSeries(
            arm,
            None,
            f"outcome: {message.outcome[:120]!r} is not a valid name: use up to 100 characters of "
            "a-z, 0-9, '.', '_' and '-', or none for exposures",
        )
    if not _VERSION_ID.fullmatch(message.version_id):
        return SentSeries(
            arm,
            None,
            f"version_id: {message.version_id[:120]!r} is none: give 16 hexadecimal digits, or ''",
        )
    return SentSeries(arm, Series(arm, message.outcome))


_remembered = lru_cache(MOST_REMEMBERED)(_read)


def _arm(
    message: event_service_pb2.Series | event_service_pb2.DroppedEvents,
    *,
    outside_split: bool = False,
) -> tuple[Arm | None, str]:
    """Return the arm, or what is wrong with it."""
    for field, key in (("flag_key", message.flag_key), ("variant", message.variant)):
        if not KEY.fullmatch(key):
            return None, f"{field}: {key[:120]!r} is not a valid name: use {KEY_RULE}"
    if message.phase < 1:
        return None, f"phase: {message.phase} is out of range: a phase is >= 1"
    phase = Phase(message.phase)
    return Arm(FlagKey(message.flag_key), phase, VariantKey(message.variant), outside_split), ""
