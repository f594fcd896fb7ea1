"""Tones as styles of the terminal."""

from collections.abc import Mapping
from types import MappingProxyType

from rich.text import Text

from tidegate_server.experiment_text import Said, Tone

_STYLES: Mapping[Tone, str] = MappingProxyType(
    {
        Tone.PLAIN: "",
        Tone.GOOD: "green",
        Tone.WARN: "yellow",
        Tone.BAD: "bold red",
        Tone.INFO: "cyan",
        Tone.MUTED: "dim",
    }
)


def styled(said: Said) -> Text:
    """Return words in the style of their tone."""
    return Text(said.text, style=_STYLES[said.tone])
