"""The unit ids of a batch: checked where they lie, and read only where somebody needs them."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

MAX_UNIT_ID = 1_000
"""Most characters of a unit's id."""

TAG = 0x42
"""First byte of each id's field: field 8 of EventBatch, wire type 2."""

_LONGEST_PLAIN = 127
_SHORTEST_FIELD = 3

_PLAIN = b"B(?:%s)" % b"|".join(
    re.escape(bytes([length])) + b"[ -~]{%d}" % length for length in range(1, _LONGEST_PLAIN + 1)
)
"""One field with an id of 1 to 127 printable ASCII characters, which needs no closer look."""

_ONE = re.compile(_PLAIN)
_RUN = re.compile(b"(?:%s)++" % _PLAIN)


class Piece(NamedTuple):
    """A part of a message: fields with plain ids one after the other, or the content of one field.

    begin, end: positions in the message.
    """

    begin: int
    end: int
    plain: bool

    def most(self) -> int:
        """Return how many ids it has at most."""
        return (self.end - self.begin) // _SHORTEST_FIELD if self.plain else 1


def plain_run(data: bytes, at: int) -> Piece | None:
    """Return the fields with plain ids that begin at a position; None if there is none."""
    run = _RUN.match(data, at)
    return Piece(at, run.end(), plain=True) if run else None


def more_than(data: bytes, pieces: Sequence[Piece], most: int) -> bool:
    """Return whether there are more ids than `most`."""
    if sum(piece.most() for piece in pieces) <= most:
        return False
    ids = (
        each
        for piece in pieces
        for each in (_ONE.finditer(data, piece.begin, piece.end) if piece.plain else (piece,))
    )
    return sum(1 for _ in islice(ids, most + 1)) > most


def read_ids(data: bytes, pieces: Sequence[Piece]) -> tuple[list[str], list[str]]:
    """Return the ids that are valid, and what is wrong with the others."""
    valid: list[str] = []
    problems: list[str] = []
    for piece in pieces:
        if piece.plain:
            fields = _ONE.findall(data, piece.begin, piece.end)
            valid += [field[2:].decode() for field in fields]
            continue
        text, problem = _read_one(data[piece.begin : piece.end])
        if problem:
            problems.append(f"unit_ids[{len(valid) + len(problems)}]: {problem}")
        else:
            valid.append(text)
    return valid, problems


def _read_one(content: bytes) -> tuple[str, str]:
    """Return an id, and what is wrong with it."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "", "is no UTF-8"
    if not 1 <= len(text) <= MAX_UNIT_ID:
        return "", f"has {len(text):,} characters; give 1 to {MAX_UNIT_ID:,}"
    if any(unicodedata.category(character) == "Cc" for character in text):
        return "", f"{text[:120]!r} has control characters; give an id without them"
    return text, ""
