"""Durations as people write them: 90s, 30m, 1h30m, 7d."""

import re
from datetime import timedelta

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile("".join(rf"(?:(\d{{1,6}}){unit})?" for unit in _UNITS))


def parse_duration(text: str) -> timedelta:
    """Read whole weeks, days, hours, minutes and seconds, in this order.

    Raises:
        ValueError: it is no duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not a duration: write a number and s, m, h or d: 30m, 1h30m")
    given = zip(_UNITS.values(), match.groups(), strict=True)
    return timedelta(**{name: int(number) for name, number in given if number})


def format_duration(span: timedelta) -> str:
    """Write a duration as `parse_duration` reads it; seconds are whole, days the longest unit."""
    if span < timedelta():
        return f"-{format_duration(-span)}"
    rest, parts = int(span.total_seconds()), []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, seconds)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
