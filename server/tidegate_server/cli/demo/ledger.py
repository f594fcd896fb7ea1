"""The ledger that the demo's application leaves: what it did, by its own account."""

from collections import Counter
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tidegate_server.errors import ConfigurationError

Count = Annotated[int, Field(ge=0)]

EXPOSURE = ""
"""The outcome under which exposures are counted."""


class Ledger(BaseModel):
    """What the application wrote; see `examples/model_rollout/ledger.py`.

    requests: (phase, variant, number). reported: (variant, outcome, number of events).
    exposures: number by variant. units: each unit's (revision, variant), by revision.
    acknowledged, dropped, refused: events, as the SDK counts them; flushed: none was left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: tuple[tuple[int, str, Count], ...]
    reported: tuple[tuple[str, str, Count], ...]
    exposures: dict[str, Count]
    units: dict[str, tuple[tuple[int, str], ...]]
    acknowledged: Count
    dropped: Count
    refused: Count
    flushed: bool

    def events(self) -> Counter[tuple[str, str]]:
        """Return the number of events reported, by variant and outcome."""
        counts = Counter({(variant, outcome): n for variant, outcome, n in self.reported})
        counts.update({(variant, EXPOSURE): n for variant, n in self.exposures.items()})
        return counts


def read_ledger(file: Path) -> Ledger:
    """Read a ledger.

    Raises:
        ConfigurationError: there is none, or it is not the application's.
    """
    try:
        return Ledger.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{file}: the application left no ledger ({error.strerror}); it must write one at its "
            "end, to the file that --result names"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigurationError(
            f"{file}: {field}: {first['msg']}; the application and `tidegate demo` must be of the "
            "same version"
        ) from error
