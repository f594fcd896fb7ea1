"""Checks of Client's arguments: each error names the argument and the fix."""

import os
import re
from pathlib import Path

from tidegate.errors import ConfigurationError

ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):([0-9]{1,5})")


def checked_address(address: object, name: str = "address") -> str:
    """Return "host:port", from the environment's TIDEGATE_SERVER where it is not given.

    name: of the argument.

    Raises:
        ConfigurationError: there is none, or it has another form.
    """
    source = name
    if address is None:
        source, address = "TIDEGATE_SERVER", os.environ.get("TIDEGATE_SERVER", "")
        if not address:
            raise ConfigurationError(
                f'{name}: not given, and TIDEGATE_SERVER is not set; give "host:port", '
                'for instance "127.0.0.1:7070"'
            )
    match = ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if match is None or not 1 <= int(match[2]) <= 65_535:
        raise ConfigurationError(
            f'{source}: {address!r} is not of the form "host:port"; '
            'give a name or an IP address and a port, for instance "127.0.0.1:7070"'
        )
    return match[0]


def checked_name(value: object) -> str:
    """Return a client's name.

    Raises:
        ConfigurationError: it is no string of at most 100 characters.
    """
    if not isinstance(value, str) or len(value) > 100:
        raise ConfigurationError("client_name: give a string of at most 100 characters")
    return value


def checked_int(name: str, value: object, most: int) -> int:
    """Return a whole number in [1, most].

    Raises:
        ConfigurationError: it is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ConfigurationError(f"{name}: {value!r} is out of range: give a whole 1 to {most:,}")
    return value


def checked_seconds(name: str, value: object, least: float, most: float) -> float:
    """Return seconds in [least, most].

    Raises:
        ConfigurationError: it is something else.
    """
    if not isinstance(value, int | float) or not least <= value <= most:
        raise ConfigurationError(
            f"{name}: {value!r} is out of range: give seconds, {least:g} to {most:,}"
        )
    return float(value)


def checked_path(name: str, value: object) -> Path | None:
    """Return a path; None where there is none.

    Raises:
        ConfigurationError: it is no path.
    """
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ConfigurationError(f"{name}: {value!r} is no path: give a string or a Path")
    return Path(os.fsdecode(value)).absolute()
