"""Characters to draw with: on a terminal, and where only ASCII is safe."""

from dataclasses import dataclass

from rich.console import Console


@dataclass(frozen=True, slots=True)
class Marks:
    """Each is one character.

    done, present, ahead: stages. full, empty: of a bar. line, left, right, point: an interval and
    its estimate; band: an interval that stands upright. zero: no effect; wanted: what is asked for;
    harm: what rolls back.
    """

    done: str
    present: str
    ahead: str
    full: str
    empty: str
    line: str
    left: str
    right: str
    point: str
    band: str
    zero: str
    wanted: str
    harm: str


UNICODE = Marks("✓", "▶", "·", "█", "░", "─", "├", "┤", "●", "│", "┊", "◆", "✖")
ASCII = Marks("+", ">", ".", "#", ".", "-", "[", "]", "o", ":", "|", "T", "X")


def marks_for(console: Console) -> Marks:
    """Return what a console can show: without a terminal nobody knows where the text will go."""
    return UNICODE if console.is_terminal and not console.options.ascii_only else ASCII
