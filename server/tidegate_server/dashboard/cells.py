"""What a table shows: columns, rows and cells, as values that `components/grid.js` draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidegate.v1 import flag_pb2
from tidegate_server.dashboard.words import Zone, split_words
from tidegate_server.experiment_text import Said, Tone
from tidegate_server.report_text import NOTHING

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column. number: aligned to the right. help: what it means."""

    title: str
    number: bool = False
    help: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row. key: tells it from the others. more: a table that opens below it."""

    key: str
    cells: Sequence[Json]
    tone: Tone = Tone.PLAIN
    more: "Table | None" = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table. empty: what stands in place of no rows, and a command that would bring some."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    empty: str = ""
    command: str = ""

    def props(self) -> dict[str, Any]:
        """Return the properties of the component."""
        return {
            "caption": self.caption,
            "columns": [
                {"title": each.title, "number": each.number, "help": each.help}
                for each in self.columns
            ],
            "rows": [_row(row) for row in self.rows],
            "empty": {"text": self.empty, "command": self.command},
        }


def _row(row: Row) -> Json:
    more = {} if row.more is None else {"more": row.more.props()}
    return {"key": row.key, "cells": list(row.cells), "tone": row.tone, **more}


def text(content: str, tone: Tone = Tone.PLAIN) -> Json:
    """Return a cell of plain words."""
    return {"t": content, "tone": tone}


def said(words: Said) -> Json:
    """Return a cell of words with their tone."""
    return text(words.text, words.tone)


def pill(words: Said) -> Json:
    """Return a cell of words that stand out."""
    return {"k": "pill", "t": words.text, "tone": words.tone}


def link(content: str, target: str) -> Json:
    """Return a cell that leads somewhere."""
    return {"t": content, "href": target}


def code(content: str) -> Json:
    """Return a cell of what a program reads."""
    return {"k": "code", "t": content}


def lines(content: Sequence[str]) -> Json:
    """Return a cell of several lines."""
    return {"k": "lines", "t": " ".join(content), "lines": list(content)}


def moment(time: datetime | None, zone: Zone, *, ago: bool = True) -> Json:
    """Return a cell of a time. ago: and of how long ago it was."""
    if time is None:
        return text(NOTHING)
    since = {"at": int(time.timestamp() * 1_000)} if ago else {}
    return {"k": "time", "t": zone.stamp(time), "full": zone.full(time), **since}


def split(shares: Sequence[flag_pb2.SplitShare], variants: Sequence[str]) -> Json:
    """Return a cell of a split. variants: of the flag, in the order of their colours."""
    given = [share for share in shares if share.share_ppm]
    places = {key: index for index, key in enumerate(variants)}
    return {
        "k": "split",
        "t": split_words(given),
        "parts": [{"ppm": each.share_ppm, "c": places.get(each.variant, 0)} for each in given],
    }


@dataclass(frozen=True, slots=True)
class Scale:
    """What an interval is drawn on: from `low` to `high`, which include 0."""

    low: float
    high: float


def interval(
    words: str,
    at: float,
    bounds: tuple[float, float],
    wide: tuple[float, float],
    scale: Scale,
    tone: Tone,
) -> Json:
    """Return a cell that draws an estimate with two intervals. wide: the longer one."""
    return {
        "k": "interval",
        "t": words,
        "at": at,
        "low": bounds[0],
        "high": bounds[1],
        "wideLow": wide[0],
        "wideHigh": wide[1],
        "min": scale.low,
        "max": scale.high,
        "tone": tone,
    }
