"""Metrics of a plan as people write them: rating:mean=3.9,deviation=1.2,effect=5%."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tidegate.model import Direction
from tidegate_server.analysis.clusters import unit_deviation
from tidegate_server.analysis.planning import PlannedMetric, relative_metric
from tidegate_server.domain.checks import unknown
from tidegate_server.domain.metrics import KNOWN
from tidegate_server.errors import InvalidField

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(%?)")
_COMMON = ("mean", "deviation", "better", "events", "icc", "variation")
GOAL_FIELDS = (*_COMMON, "effect", "min_effect")
GUARDRAIL_FIELDS = (*_COMMON, "margin")


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One metric of the command line.

    sign: 1 where the change to be told is a rise, -1 where it is a fall. minimum: the relative
    change that must be exceeded, of that sign; 0 for a guardrail, which hopes for no change.
    """

    metric: PlannedMetric
    is_goal: bool
    sign: float
    minimum: float

    def relative(self, distance: float) -> float:
        """Return the size of the relative change that is `distance` away on the log scale."""
        return abs(math.expm1(math.log1p(self.minimum) + self.sign * distance))


def parse_goal(text: str, events: float, icc: float) -> PlanLine:
    """Read a goal: its `effect` is the improvement hoped for, more than `min_effect`.

    events, icc: events per unit and their correlation, unless the metric says otherwise.

    Raises:
        InvalidField: a field is missing, unknown or out of range; names the metric and the field.
    """
    name, fields = _fields(text, "--goal", GOAL_FIELDS)
    sign = _better(name, fields)
    effect = _number(name, fields, "effect")
    least = _number(name, fields, "min_effect", 0.0)
    if not effect > least:
        raise InvalidField(f"{name}.effect", f"must be more than min_effect, {least:.4g}")
    metric = _metric(name, fields, (events, icc), sign * effect, sign * least)
    return PlanLine(metric, is_goal=True, sign=sign, minimum=sign * least)


def parse_guardrail(text: str, events: float, icc: float) -> PlanLine:
    """Read a guardrail: it must be shown not to be worse by `margin`. The rest as in a goal."""
    name, fields = _fields(text, "--guardrail", GUARDRAIL_FIELDS)
    sign = -_better(name, fields)
    metric = _metric(name, fields, (events, icc), sign * _margin(name, fields), 0.0)
    return PlanLine(metric, is_goal=False, sign=sign, minimum=0.0)


def parse_number(field: str, text: str) -> float:
    """Read a number >= 0 such as 0.05 or 5%.

    Raises:
        InvalidField: it is none.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise InvalidField(field, f"{text!r} is not a number: write 0.05 or 5%")
    return float(match[1]) / (100 if match[2] else 1)


def _margin(name: str, fields: Mapping[str, str]) -> float:
    margin = _number(name, fields, "margin")
    if not margin > 0:
        raise InvalidField(f"{name}.margin", "must be more than 0")
    return margin


def _metric(
    name: str,
    fields: Mapping[str, str],
    clusters: tuple[float, float],
    change: float,
    minimum: float,
) -> PlannedMetric:
    mean = _number(name, fields, "mean")
    if "deviation" not in fields and not 0 < mean < 1:
        raise InvalidField(
            f"{name}.deviation", "is needed; it may be left out only of rates between 0 and 1"
        )
    spread = _number(name, fields, "deviation", math.sqrt(max(mean * (1 - mean), 0.0)))
    events = _number(name, fields, "events", clusters[0])
    icc = _number(name, fields, "icc", clusters[1])
    variation = _number(name, fields, "variation", 0.0)
    try:
        deviation = unit_deviation(spread, events, icc, variation)
        return relative_metric(name, mean, deviation, change, minimum)
    except ValueError as error:
        raise InvalidField(name, str(error).removeprefix(f"{name}: ")) from error


def _fields(text: str, option: str, known: Collection[str]) -> tuple[str, dict[str, str]]:
    name, colon, rest = text.partition(":")
    if not (name and colon):
        raise InvalidField(option, f"{text!r}: write NAME:mean=3.9,deviation=1.2,…; see --help")
    fields: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in rest.split(","))):
        key, equals, value = part.partition("=")
        if key not in known:
            raise InvalidField(f"{name}.{key}", unknown(key, known))
        if not equals or key in fields:
            raise InvalidField(f"{name}.{key}", "must be given once, as FIELD=VALUE")
        fields[key] = value
    return name, fields


def _number(
    name: str, fields: Mapping[str, str], field: str, default: float | None = None
) -> float:
    if field in fields:
        return parse_number(f"{name}.{field}", fields[field])
    if default is None:
        raise InvalidField(f"{name}.{field}", f"is needed: add {field}=…")
    return default


def _better(name: str, fields: Mapping[str, str]) -> float:
    """Return 1 where higher is better, and -1 where lower is."""
    known = KNOWN.get(name.partition(".")[0], Direction.UNKNOWN)
    match fields.get("better", known.value):
        case Direction.HIGHER.value:
            return 1.0
        case Direction.LOWER.value:
            return -1.0
    raise InvalidField(f"{name}.better", "is needed: add better=higher or better=lower")
