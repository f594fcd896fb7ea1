"""The types of the fields of experiment files: each says in plain words what it wanted instead."""

import re
from datetime import time, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import PlainValidator

from tidegate_server.cli.field_types import kind
from tidegate_server.domain.checks import KEY, KEY_RULE, unknown
from tidegate_server.domain.durations import parse_duration
from tidegate_server.domain.experiments.plan import MetricName, Weekday, metric_name

_PERCENT = re.compile(r"\s*([+-]?[0-9]{1,12}(?:\.[0-9]{1,12})?)\s*%\s*")
_TIME = re.compile(r"\s*([01]?[0-9]|2[0-3]):([0-5][0-9])\s*")
_LOOKS = re.compile(r"\s*([0-9]{1,3})\s+of\s+([0-9]{1,3})\s*")


def _duration(value: Any) -> timedelta:
    if not isinstance(value, str):
        raise ValueError(f"must be a duration such as 30m, not {kind(value)}")  # noqa: TRY004
    return parse_duration(value)


def _amount(value: Any) -> float:
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value)
        if match is not None:
            return float(Decimal(match[1]) / 100)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number such as 0.05 or 5%, not {kind(value)}")  # noqa: TRY004
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a whole number, not {kind(value)}")  # noqa: TRY004
    return value


def _metric(value: Any) -> MetricName:
    if not isinstance(value, str) or not KEY.fullmatch(value):
        raise ValueError(f"must be a metric such as error or latency_ms.p99 ({KEY_RULE})")
    return metric_name(value)


def _looks(value: Any) -> tuple[int, int]:
    match = _LOOKS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"must be such as 2 of 3, not {kind(value)}")
    return int(match[1]), int(match[2])


def _approval(value: Any) -> bool:
    if value not in ("required", "none"):
        raise ValueError(f"must be required or none, not {kind(value)}")
    return bool(value == "required")


def _time(value: Any) -> time:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"must be a time of the day such as 09:00, not {kind(value)}")
    return time(int(match[1]), int(match[2]))


def _end(value: Any) -> time:
    return time() if value == "24:00" else _time(value)


def _day(value: Any) -> Weekday:
    days = {day.name.lower(): day for day in Weekday}
    if not isinstance(value, str) or value not in days:
        raise ValueError(f"the day {unknown(str(value), days)}")
    return days[value]


def as_url(value: Any) -> Any:
    """Return a hook of which only the URL is given as a mapping, and anything else as it is."""
    return {"url": value} if isinstance(value, str) else value


Duration = Annotated[timedelta, PlainValidator(_duration)]
Amount = Annotated[float, PlainValidator(_amount)]
"""A number; percentages are read as exact decimals."""

Count = Annotated[int, PlainValidator(_count)]
Metric = Annotated[MetricName, PlainValidator(_metric)]
Looks = Annotated[tuple[int, int], PlainValidator(_looks)]
Approval = Annotated[bool, PlainValidator(_approval)]
TimeOfDay = Annotated[time, PlainValidator(_time)]
EndOfDay = Annotated[time, PlainValidator(_end)]
"""A time of the day after another; 24:00 is 00:00, which is the end of the day."""

Day = Annotated[Weekday, PlainValidator(_day)]
