"""Errors of the server.

    TidegateServerError
    ├── InvalidField         input is wrong: names the field, the problem and the fix
    ├── InvalidFields        several such fields at once
    ├── NotFound             what was asked for does not exist
    ├── AlreadyExists        there is one by that name
    ├── InUse                others need it: change those first
    ├── Refused              what is asked for makes no sense as things stand
    ├── RevisionConflict     somebody else changed it first: read again
    ├── VersionConflict      somebody else changed the experiment first: read again
    ├── FencedOff            another controller leads: what this one decides counts no more
    ├── Retriable            it may work later; may say when
    │   ├── StoreUnavailable     the store can't be reached or refuses: try again
    │   ├── StoreFull            the store takes no more for now: try again later
    │   └── ServerBusy           this server has too much under way: try again soon
    └── ConfigurationError   a setting or a file is wrong; the message names it

`rpc/errors.py` maps each to a gRPC status code, in one table.
"""

from collections.abc import Sequence


class TidegateServerError(Exception):
    """Base of everything that the server raises by itself."""


class InvalidField(TidegateServerError, ValueError):  # noqa: N818 - named after its status code
    """Input is wrong. `field` is a path such as `split[1].share_ppm`."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class InvalidFields(TidegateServerError, ValueError):  # noqa: N818
    """Input is wrong in `problems`; the message names each in a line of its own."""

    def __init__(self, problems: Sequence[InvalidField]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class NotFound(TidegateServerError, LookupError):  # noqa: N818
    """What was asked for does not exist; the message names it."""


class AlreadyExists(TidegateServerError):  # noqa: N818
    """What was to be created exists; the message names it."""


class InUse(TidegateServerError):  # noqa: N818
    """What was to be deleted is needed; the message names who needs it."""


class Refused(TidegateServerError):  # noqa: N818
    """What is asked for makes no sense as things stand; the message says why and what would."""


class RevisionConflict(TidegateServerError):  # noqa: N818
    """Somebody else changed it first; nothing was changed."""


class VersionConflict(TidegateServerError):  # noqa: N818
    """Somebody else changed the experiment first; nothing was changed."""


class FencedOff(TidegateServerError):  # noqa: N818
    """Another controller leads by now; nothing was changed."""


class Retriable(TidegateServerError):  # noqa: N818
    """It may work later. `retry_after`: the seconds to wait before; None if nothing is known."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreUnavailable(Retriable):
    """The store can't be reached, or refused; nothing is known to be changed."""


class StoreFull(Retriable):
    """The store takes no more for now; nothing was stored."""


class ServerBusy(Retriable):
    """This server has too much under way; nothing was done."""


class ConfigurationError(TidegateServerError):
    """A setting or a file is wrong; the message names it and the fix."""
