"""Flags as text: what the dashboard needs of the command line's flag files."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tidegate.v1 import flag_pb2


class FlagTexts(Protocol):
    """Reads and writes flag files; `cli.flag_texts` implements it."""

    def write(self, flag: flag_pb2.Flag) -> str:
        """Return a flag as a file."""
        ...

    def read(self, text: str, current: flag_pb2.Flag) -> flag_pb2.Flag:
        """Return what a file makes of a flag.

        Raises:
            ConfigurationError: names every problem at once, by line and column.
        """
        ...

    def changes(self, before: flag_pb2.Flag, after: flag_pb2.Flag) -> Sequence[str]:
        """Return one line for each field that differs."""
        ...

    def split(self, shares: Mapping[str, str]) -> Sequence[flag_pb2.SplitShare]:
        """Return a split whose shares are written as percentages.

        Raises:
            ConfigurationError: one of them is none, or they don't add up to 100 %.
        """
        ...
