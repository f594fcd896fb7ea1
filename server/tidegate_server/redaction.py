"""Keeps secrets out of what is shown: values by their names, and what texts give away."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from structlog.typing import EventDict, WrappedLogger

HIDDEN = "***"

_NAME = r"""
    (?: [a-z0-9_-]{0,40}
        (?: password | passwd | secret | credential s? | authorization | api[_-]?key )
      | (?: [a-z0-9_-]{0,40} (?: access | auth | bearer | refresh | session | api | id ) [_-]? )?
        token )
"""
# Repetitions are bounded, so that the time is in proportion to the text, whatever it is.
_IS_SECRET = re.compile(_NAME, re.IGNORECASE | re.VERBOSE)
_IN_TEXT = re.compile(
    r"""
      (?P<url> \b [a-z][a-z0-9+.-]{0,20} :// ) [^/\s]* @
    | (?P<scheme> \b (?: bearer | basic ) \s+ ) [a-z0-9._~+/=-]{6,}
    | (?P<name> (?<! [a-z0-9_-] ) NAME \\* ["']? \s* [:=] \s* )
      (?: (?: bearer | basic ) \s+ )?
      (?: (?P<plain> ["'] ) (?: \\. | (?! (?P=plain) ) . ){0,1000} (?P=plain)
        | (?P<escaped> \\+ ["'] ) .{0,1000}? (?P=escaped)
        | ["'\\]* [^\s,;"'()\[\]{}]+ )
    """.replace("NAME", _NAME),
    re.IGNORECASE | re.VERBOSE,
)
_HINTS = ("://", "pass", "secret", "token", "credential", "auth", "api", "bearer", "basic")
"""In what has none of these there is nothing to hide: most texts are done with at once."""


def without_secrets(text: str) -> str:
    """Return a text with *** for users and passwords of URLs, and for what names call secret."""
    lower = text.lower()
    if not any(hint in lower for hint in _HINTS):
        return text
    return _IN_TEXT.sub(_replacement, text)


def _replacement(found: re.Match[str]) -> str:
    if found["url"]:
        return f"{found['url']}{HIDDEN}@"
    quote = found["plain"] or found["escaped"] or ""
    return f"{found['scheme'] or found['name']}{quote}{HIDDEN}{quote}"


@lru_cache(maxsize=1_000)
def _is_secret(name: str) -> bool:
    return _IS_SECRET.fullmatch(name) is not None


def redact(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """Be a processor of structlog: hide secrets in a line's fields, tracebacks included."""
    return {name: _shown(name, value) for name, value in event_dict.items()}


def _shown(name: object, value: Any) -> Any:
    if isinstance(name, str) and _is_secret(name):
        return HIDDEN
    if isinstance(value, str):
        return without_secrets(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {each: _shown(each, inner) for each, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown("", inner) for inner in value]
    text = repr(value)
    redacted = without_secrets(text)
    return value if redacted == text else redacted
