"""Traces of requests in CSV files: read with what is wrong named by its line."""

import csv
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tidegate_server.domain.checks import KEY
from tidegate_server.domain.experiments.trace import Trace
from tidegate_server.errors import ConfigurationError

TIMES, UNITS = ("time", "timestamp"), ("unit", "user")
TOKENS = ("generated_tokens", "size")
"""Columns that tell how much was generated; the first of them that is there counts."""

MOST_PROBLEMS = 10
"""How many problems are named; the rest are counted."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

Row: TypeAlias = tuple[int, Sequence[str]]
"""Number of its line in the file, and its cells."""


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """How long a request takes: `first` ms, and `each` ms for every token that it generates."""

    first: float = 200.0
    each: float = 20.0


def read_trace(file: Path, model: LatencyModel) -> Trace:
    """Read a file whose first line names columns: a time, perhaps a unit, and outcomes.

    Where tokens are recorded and latencies are not, these come from the model.

    Raises:
        ConfigurationError: it can't be read; or names what is wrong in it, line by line.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            rows = [(reader.line_num, cells) for cells in reader if any(cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{file}: cannot be read ({why}): give a CSV file") from error
    columns = _columns(file, rows)
    outcomes = {name: np.array(columns[name]) for name in columns if name not in TIMES + UNITS}
    tokens = next((name for name in TOKENS if name in outcomes), None)
    if tokens is not None and "latency_ms" not in outcomes:
        outcomes["latency_ms"] = model.first + model.each * outcomes[tokens]
    seconds = np.array(next(columns[name] for name in TIMES if name in columns))
    order = np.argsort(seconds, kind="stable")
    if not (seconds.size > 1 and seconds[order[-1]] > seconds[order[0]]):
        raise ConfigurationError(f"{file}: a trace needs two requests at different times")
    units = next((columns[name] for name in UNITS if name in columns), None)
    return Trace(
        seconds[order],
        {name: values[order] for name, values in outcomes.items()},
        None if units is None else np.unique(units, return_inverse=True)[1][order],
    )


def _columns(file: Path, rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return the values of each column by its name."""
    names = _names(file, rows)
    first = rows[1][1] if len(rows) > 1 else ()
    parsers = [_parser(name, cell) for name, cell in zip(names, first, strict=False)]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    problems: list[str] = []
    for line, cells in rows[1:]:
        if len(cells) != len(names):
            problems.append(f"{file}:{line}: has {len(cells)} columns, not {len(names)}")
            continue
        for name, parse, cell in zip(names, parsers, cells, strict=True):
            try:
                columns[name].append(parse(cell))
            except ValueError as error:
                problems.append(f"{file}:{line}: {name}: {cell!r} {error}")
    if problems:
        rest = len(problems) - MOST_PROBLEMS
        more = [f"and {rest:,} more"] if rest > 0 else []
        raise ConfigurationError("\n".join(problems[:MOST_PROBLEMS] + more))
    return columns


def _names(file: Path, rows: Sequence[Row]) -> list[str]:
    """Return the columns' names as metrics have them: ContextTokens is context_tokens."""
    cells = rows[0][1] if rows else ()
    names = [_HUMP.sub("_", cell.strip()).lower().replace(" ", "_") for cell in cells]
    problems = [
        f"{file}:1: the column {cell!r} can't be the name of an outcome"
        for cell, name in zip(cells, names, strict=True)
        if not KEY.fullmatch(name)
    ]
    for what, known in (("time", TIMES), ("unit", UNITS)):
        if sum(name in known for name in names) > 1:
            problems.append(f"{file}:1: has several columns of a {what}: keep one")
    if not set(names) & {*TIMES}:
        problems.append(f"{file}:1: names no column `time`: the first line names the columns")
    problems += [f"{file}:1: the column {name!r} occurs twice" for name in _repeated(names)]
    if problems:
        raise ConfigurationError("\n".join(problems))
    return names


def _repeated(names: Sequence[str]) -> Iterator[str]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield name


def _parser(name: str, first: str) -> Callable[[str], Any]:
    """Return what reads a column, of which this is the first cell."""
    if name in UNITS:
        return str
    if name not in TIMES:
        return _number
    try:
        float(first)
    except ValueError:
        return _moment
    return _number


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("is not a finite number")
    return value


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("is no time: write 2026-01-31 12:00:00.5, or seconds") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
