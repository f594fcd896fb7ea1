"""How single fields of plans are checked, and how their problems are worded."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from tidegate_server.domain.checks import KEY, KEY_RULE, check_count, check_length
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.plan import ZERO
from tidegate_server.errors import InvalidField

Problems = Iterator[InvalidField]

LONGEST_URL = 2_000


def name(field: str, text: str) -> Problems:
    """Check a name that people choose."""
    if not KEY.fullmatch(text):
        yield InvalidField(field, f"{text!r} is not a valid name: use {KEY_RULE}")


def within(field: str, value: float, least: float, most: float) -> Problems:
    """Check that a number is in [least, most]."""
    if not least <= value <= most:
        yield InvalidField(field, f"must be {least:,.10g} to {most:,.10g}, not {value:,.10g}")


def span(field: str, value: timedelta, least: timedelta) -> Problems:
    """Check that a duration is in [least, 366 days]."""
    if not least <= value <= timedelta(days=366):
        yield InvalidField(
            field, f"must be {format_duration(least)} to 366d, not {format_duration(value)}"
        )


def timeout(field: str, value: timedelta, most: timedelta) -> Problems:
    """Check that a duration is in (0, most]."""
    if not ZERO < value <= most:
        yield InvalidField(
            field,
            f"must be more than 0s and at most {format_duration(most)}, "
            f"not {format_duration(value)}",
        )


def length(field: str, text: str, least: int, most: int) -> Problems:
    """Check that a text has `least` to `most` characters."""
    try:
        check_length(field, text, least, most)
    except InvalidField as problem:
        yield problem


def count(field: str, entries: Collection[object], least: int, most: int) -> Problems:
    """Check that there are `least` to `most` entries."""
    try:
        check_count(field, entries, least, most)
    except InvalidField as problem:
        yield problem


def url(field: str, text: str) -> Problems:
    """Check an address that is called over HTTP, and shown to whoever reads the plan."""
    parts = _split(text)
    sound = text.isprintable() and " " not in text and len(text) <= LONGEST_URL
    if not sound or parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        yield InvalidField(
            field,
            f"{text[:100]!r} is no URL of at most {LONGEST_URL:,} characters: "
            "give one such as https://host/path",
        )
    elif parts.username is not None:
        yield InvalidField(
            field,
            "holds a user or a password, and everyone who may read the experiment would see it: "
            "leave it out",
        )


def host_and_port(field: str, text: str) -> Problems:
    """Check host:port."""
    parts = _split(f"//{text}")
    if parts is None or not (parts.hostname and parts.port) or parts.netloc != text:
        yield InvalidField(field, f"{text[:100]!r} is no address: give host:port")
    elif parts.username is not None or any(map(str.isspace, text)):
        yield InvalidField(field, f"{text[:100]!r} is more than an address: give host:port")


def _split(text: str) -> SplitResult | None:
    """Return the parts of a URL; None if it is none, its port no number, or its host no name."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - it is read, and checked, only when asked for
        (parts.hostname or "").encode("idna")
    except ValueError:
        return None
    return parts
