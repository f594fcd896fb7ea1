"""What people may ask of an experiment."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from tidegate_server.domain.experiments.state import ACTIVE, ENDED, IN_STAGE, Status


class Request(StrEnum):
    """What may be asked for.

    SKIP: what the present stage, preflight or watch waits for; not an approval. PROMOTE: everything
    to the treatment now, where no approval lies ahead. RETRY: once more from the beginning.
    """

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    SKIP = "skip"
    ABORT = "abort"
    PROMOTE = "promote"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Command:
    """Who asks for what, and why, if they say so."""

    request: Request
    actor: str
    why: str = ""


GOING_ON = IN_STAGE | {Status.PREFLIGHT, Status.WATCHING}
"""Statuses in which something goes on by itself towards success."""

ALLOWED: Mapping[Request, frozenset[Status]] = MappingProxyType(
    {
        Request.START: frozenset({Status.DRAFT}),
        Request.PAUSE: GOING_ON,
        Request.RESUME: frozenset({Status.PAUSED}),
        Request.APPROVE: frozenset({Status.AWAITING_APPROVAL}),
        Request.SKIP: GOING_ON - {Status.AWAITING_APPROVAL},
        Request.ABORT: (ACTIVE | {Status.DRAFT}) - {Status.ROLLING_BACK},
        Request.PROMOTE: IN_STAGE,
        Request.RETRY: ENDED - {Status.SUCCEEDED},
    }
)
"""The statuses in which each request makes sense."""

MEANT_FOR: Mapping[Request, str] = MappingProxyType(
    {
        Request.START: "is a draft",
        Request.PAUSE: "goes on: in preflight, in a stage or watching",
        Request.RESUME: "is paused",
        Request.APPROVE: "waits for approval",
        Request.SKIP: "goes on, and does not wait for approval",
        Request.ABORT: "has not ended, and does not roll back already",
        Request.PROMOTE: "is in a stage",
        Request.RETRY: "was rolled back, rejected or aborted",
    }
)
"""The same in words: `pause` is for an experiment that …"""

SAFE = frozenset({Request.PAUSE, Request.ABORT})
"""Requests that are granted whatever the flag looks like."""
