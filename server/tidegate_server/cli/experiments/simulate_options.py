"""What the options of `tidegate experiment simulate` say."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TypeVar

from tidegate.model import Direction
from tidegate_server.cli.experiments.trace_file import LatencyModel
from tidegate_server.domain.checks import unknown
from tidegate_server.domain.durations import parse_duration
from tidegate_server.domain.experiments.outcomes import Assumed, Outcome, Rate
from tidegate_server.domain.experiments.stream import Fault, Trouble
from tidegate_server.errors import InvalidField

T = TypeVar("T")

_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))\s*(%?)\s*")
_SPREAD = re.compile(r"±|\+/?-")

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "outage": Fault.OUTAGE,
        "silence": Fault.SILENCE,
        "controller": Fault.CONTROLLER_DOWN,
        "srm": Fault.LOST_UNITS,
    }
)
"""Faults by the names of the option; srm: what ends in a sample-ratio mismatch."""

FOR_EVER = timedelta(days=10_000)


def named(option: str, texts: Iterable[str] | None, read: Callable[[str], T]) -> dict[str, T]:
    """Read NAME=VALUE, each name once.

    Raises:
        InvalidField: names the option and the fix.
    """
    found: dict[str, T] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        name = name.strip()
        if not (name and equals) or name in found:
            raise InvalidField(option, f"{text!r}: write NAME=VALUE, each name once")
        try:
            found[name] = read(value)
        except ValueError as error:
            raise InvalidField(f"{option} {name}", str(error)) from error
    return found


def outcome(text: str) -> Outcome:
    """Read 3.9±1.2, or 3.9+-1.2; or a rate such as 1%, which needs no deviation."""
    mean, *deviation = _SPREAD.split(text, maxsplit=1)
    if deviation:
        return Assumed(number(mean), number(deviation[0]))
    try:
        return Rate(number(mean))
    except ValueError as error:
        raise ValueError(f"{error}: write a rate, or MEAN±DEVIATION such as 3.9±1.2") from error


def effect(text: str) -> float:
    """Read a relative change such as +10% or -0.1."""
    found = number(text)
    if not found > -1:
        raise ValueError("must be more than -100%")
    return found


def direction(text: str) -> Direction:
    """Read which way is better."""
    known = {each.value: each for each in (Direction.HIGHER, Direction.LOWER)}
    if text not in known:
        raise ValueError(unknown(text, known))
    return known[text]


def number(text: str) -> float:
    """Read a number such as 0.05, -3 or 5%."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number: write 0.05 or 5%")
    return float(match[1]) / (100 if match[2] else 1)


def duration(option: str, text: str) -> timedelta:
    """Read a duration such as 30m.

    Raises:
        InvalidField: it is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidField(option, str(error)) from error


def troubles(texts: Iterable[str] | None) -> tuple[Trouble, ...]:
    """Read faults such as outage@30m+10m; without a duration they last.

    Raises:
        InvalidField: one is none.
    """
    return tuple(_trouble(text) for text in texts or ())


def _trouble(text: str) -> Trouble:
    name, at, times = text.partition("@")
    start, plus, duration = times.partition("+")
    if name not in FAULTS:
        raise InvalidField("--fault", f"fault {unknown(name, FAULTS)}")
    if not at:
        raise InvalidField("--fault", f"{text!r}: say when: {name}@30m+10m")
    try:
        lasts = parse_duration(duration) if plus else FOR_EVER
        return Trouble(FAULTS[name], parse_duration(start), lasts)
    except ValueError as error:
        raise InvalidField("--fault", f"{text!r}: {error}") from error


def latency_model(text: str) -> LatencyModel:
    """Read FIRST+EACH, in ms, such as 200+20.

    Raises:
        InvalidField: it is none.
    """
    first, plus, each = text.partition("+")
    try:
        model = LatencyModel(number(first), number(each))
    except ValueError:
        model = LatencyModel(-1)
    if not (plus and model.first >= 0 and model.each >= 0):
        raise InvalidField(
            "--latency", f"{text!r}: write FIRST+EACH in ms, such as 200+20: 20 ms for each token"
        )
    return model
