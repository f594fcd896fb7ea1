"""What decided, in the words of OpenFeature, which OpenTelemetry writes in lower case."""

from collections.abc import Mapping

from tidegate.model import Reason

_BECAUSE: Mapping[Reason, str] = {
    Reason.SPLIT: "SPLIT",
    Reason.PINNED: "SPLIT",
    Reason.RULE: "TARGETING_MATCH",
    Reason.OVERRIDE: "TARGETING_MATCH",
    Reason.KILLED: "DISABLED",
}
"""What is not here is DEFAULT: prerequisites, holdout, layer and enrolment."""

ERROR_CODES: Mapping[Reason, str] = {
    Reason.FLAG_NOT_FOUND: "FLAG_NOT_FOUND",
    Reason.NOT_READY: "PROVIDER_NOT_READY",
    Reason.INVALID_UNIT: "INVALID_CONTEXT",
    Reason.ERROR: "GENERAL",
}
"""Reasons for which there is no variant; OpenFeature's reason is then ERROR."""


def because(reason: Reason, *, stale: bool) -> str:
    """Return OpenFeature's reason. stale: whether flags are no longer updated."""
    if reason in ERROR_CODES:
        return "ERROR"
    return "STALE" if stale else _BECAUSE.get(reason, "DEFAULT")
