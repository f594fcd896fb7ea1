"""The id of a call: the client's, or a new one. All log lines of the call have it."""

import random
import re
from collections.abc import Iterable

from tidegate.channel import REQUEST_ID

_FITS = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}").fullmatch


def request_id_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the id that a client sent, if it is one: 1 to 128 letters, digits or . _ : / + = -."""
    for key, value in metadata:
        if key == REQUEST_ID and isinstance(value, str) and _FITS(value):
            return value
    return f"{random.getrandbits(64):016x}"
