"""Attributes that have an order of their own: semantic versions and dates."""

import re
from datetime import UTC, datetime
from typing import TypeAlias

Version: TypeAlias = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]
"""Precedence of a version: compare two of them with "<"."""

_NUMBER = r"(0|[1-9][0-9]{0,17})"
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(
    rf"v?{_NUMBER}(?:\.{_NUMBER})?(?:\.{_NUMBER})?(?:-({_IDENTIFIERS}))?(?:\+{_IDENTIFIERS})?"
)
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)
_LONGEST = 256


def parse_version(text: str) -> Version | None:
    """Return the precedence of a semantic version (semver.org 2.0.0, item 11), or None.

    A leading "v" is left out and a missing minor or patch number is 0; build metadata has no
    precedence.
    """
    match = _VERSION.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    major, minor, patch, pre = match.groups()
    identifiers = pre.split(".") if pre else []
    return (
        int(major),
        int(minor or 0),
        int(patch or 0),
        pre is None,  # a release comes after its pre-releases
        tuple(
            (False, int(each), "") if each.isdecimal() else (True, 0, each) for each in identifiers
        ),
    )


def parse_date(value: object) -> datetime | None:
    """Return the moment that an RFC 3339 text or a datetime stands for, or None.

    A date alone is its first moment; without an offset it is in UTC.
    """
    if isinstance(value, datetime):
        return _aware(value)
    if not isinstance(value, str) or len(value) > _LONGEST or not _DATE.fullmatch(value):
        return None
    try:
        return _aware(datetime.fromisoformat(value.upper()))
    except ValueError:
        return None


def _aware(moment: datetime) -> datetime | None:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
