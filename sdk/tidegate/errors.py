"""Errors of the SDK.

    TidegateError
    ├── ConfigurationError   an argument of Client (or of a tool built on it) is wrong
    └── WireError            a message of the server does not follow the protocol

`assign` and `track` raise none of them: they answer with a reason, and log.
"""


class TidegateError(Exception):
    """Base of everything that the SDK raises by itself."""


class ConfigurationError(TidegateError, ValueError):
    """An argument is wrong; the message names it and the fix."""


class WireError(TidegateError, ValueError):
    """A message does not follow the protocol; the message names the field."""
