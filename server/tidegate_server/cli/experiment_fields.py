"""The types of the fields of experiment files: each says in plain words what it wanted instead."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import PlainValidator

from tidegate_server.cli.field_types import kind
from tidegate_server.domain.checks import KEY, KEY_RULE
from tidegate_server.domain.durations import parse_duration
from tidegate_server.domain.experiments.plan import MetricName, metric_name

_PERCENT = re.compile(r"\s*([+-]?[0-9]{1,12}(?:\.[0-9]{1,12})?)\s*%\s*")
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


Duration = Annotated[timedelta, PlainValidator(_duration)]
Amount = Annotated[float, PlainValidator(_amount)]
"""A number; percentages are read as exact decimals."""

Count = Annotated[int, PlainValidator(_count)]
Metric = Annotated[MetricName, PlainValidator(_metric)]
Looks = Annotated[tuple[int, int], PlainValidator(_looks)]
Approval = Annotated[bool, PlainValidator(_approval)]
