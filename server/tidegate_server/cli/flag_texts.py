"""Flags as text, for the dashboard: what the command line reads from files and prints."""

from collections.abc import Mapping, Sequence

from tidegate.v1 import flag_pb2
from tidegate_server.cli import flag_diff
from tidegate_server.cli.flag_file import format_flag_file, parse_flag_file
from tidegate_server.cli.shares import parse_share, sum_problem
from tidegate_server.errors import ConfigurationError


class FlagTexts:
    """Implements `dashboard.texts.FlagTexts` with flag files."""

    def write(self, flag: flag_pb2.Flag) -> str:
        """Return a flag as a file."""
        return format_flag_file(flag)

    def read(self, text: str, current: flag_pb2.Flag) -> flag_pb2.Flag:
        """Return what a file makes of a flag.

        Raises:
            ConfigurationError: names every problem at once, by line and column.
        """
        file = parse_flag_file("flag", text)
        if file.flag.key != current.key:
            raise file.error(("flag",), f"is {current.key!r} here: make another flag elsewhere")
        return file.following(current)

    def changes(self, before: flag_pb2.Flag, after: flag_pb2.Flag) -> Sequence[str]:
        """Return one line for each field that differs."""
        return flag_diff.changes(before, after)

    def split(self, shares: Mapping[str, str]) -> Sequence[flag_pb2.SplitShare]:
        """Return a split whose shares are written as percentages.

        Raises:
            ConfigurationError: one of them is none, or they don't add up to 100 %.
        """
        try:
            read = {variant: parse_share(text) for variant, text in shares.items()}
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        problem = sum_problem(read)
        if problem is not None:
            raise ConfigurationError(problem)
        return [flag_pb2.SplitShare(variant=key, share_ppm=ppm) for key, ppm in read.items()]
