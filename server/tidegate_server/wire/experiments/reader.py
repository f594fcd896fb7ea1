"""Reads fields of messages, and notes all that can't be read."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tidegate_server.errors import InvalidField, InvalidFields

E = TypeVar("E", bound=StrEnum)
N = TypeVar("N", bound=int)

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_MOST_SECONDS = 315_576_000_000
"""Ten thousand years: the most that a Duration may say."""


class Numbers(Generic[E, N]):
    """The members of an enum and their numbers in messages, where they have the same names."""

    def __init__(self, members: type[E], prefix: str, number: Callable[[str], N]) -> None:
        self._numbers = {each: number(f"{prefix}_{each.name}") for each in members}
        self._members: dict[int, E] = {number: each for each, number in self._numbers.items()}
        self._unset = number(f"{prefix}_UNSPECIFIED")

    def to_number(self, member: E | None) -> N:
        """Return the number of a member; that of UNSPECIFIED for None."""
        return self._unset if member is None else self._numbers[member]

    def member(self, number: int) -> E | None:
        """Return the member of a number; None if there is none."""
        return self._members.get(number)

    def problem(self, number: int) -> str:
        """Say that a number means nothing here."""
        what = "is not set" if number == self._unset else f"{number} is not known"
        return f"{what}: give {', '.join(self._members.values())}"


class Reader:
    """Reads, and collects problems; what can't be read is returned as something harmless."""

    def __init__(self) -> None:
        self.problems: list[InvalidField] = []

    def report(self, field: str, problem: str) -> None:
        """Note what is wrong with a field."""
        self.problems.append(InvalidField(field, problem))

    def check(self) -> None:
        """End here if anything was wrong.

        Raises:
            InvalidFields
        """
        if self.problems:
            raise InvalidFields(self.problems)

    def enum(self, numbers: Numbers[E, N], number: int, field: str, stand_in: E) -> E:
        """Read a member that must be set."""
        member = numbers.member(number)
        if member is None:
            self.report(field, numbers.problem(number))
        return member or stand_in

    def optional_enum(self, numbers: Numbers[E, N], number: int, field: str) -> E | None:
        """Read a member that may be unset."""
        if number and numbers.member(number) is None:
            self.report(field, numbers.problem(number))
        return numbers.member(number)

    def duration(self, message: Duration, field: str) -> timedelta:
        """Read a duration of whole microseconds."""
        seconds, nanos = message.seconds, message.nanos
        whole = abs(nanos) < 1_000_000_000 and nanos % 1_000 == 0 and seconds * nanos >= 0
        if not (whole and abs(seconds) <= _MOST_SECONDS):
            self.report(field, "is no duration of whole microseconds, such as 90s")
            return timedelta()
        return timedelta(seconds=seconds, microseconds=nanos // 1_000)

    def optional_duration(self, parent: Message, name: str, field: str) -> timedelta | None:
        """Read a duration that may be absent."""
        return self.duration(getattr(parent, name), field) if parent.HasField(name) else None

    def moment(self, message: Timestamp, field: str) -> datetime:
        """Read a moment that must be there."""
        try:
            return message.ToDatetime(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.report(field, "is no moment of the years 1 to 9999")
            return datetime.min.replace(tzinfo=UTC)

    def optional_moment(self, parent: Message, name: str, field: str) -> datetime | None:
        """Read a moment that may be absent."""
        return self.moment(getattr(parent, name), field) if parent.HasField(name) else None

    def time_of_day(self, text: str, field: str) -> time:
        """Read HH:MM."""
        match = _TIME.fullmatch(text)
        if match is None:
            self.report(field, f"{text!r} is no time of day: write it as HH:MM, such as 09:30")
            return time()
        return time(int(match[1]), int(match[2]))


def duration_to_message(span: timedelta) -> Duration:
    """Return a duration as a message."""
    message = Duration()
    message.FromTimedelta(span)
    return message
