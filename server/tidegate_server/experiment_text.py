"""Experiments as text: states, verdicts and figures in words, alike for every front end."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.state import Status
from tidegate_server.report_text import NOTHING


class Tone(StrEnum):
    """How something is meant; it is always said in words too."""

    PLAIN = ""
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    INFO = "info"
    MUTED = "muted"


class Said(NamedTuple):
    """Words and their tone."""

    text: str
    tone: Tone = Tone.PLAIN


_STATUSES: Mapping[Status, Said] = MappingProxyType(
    {
        Status.DRAFT: Said("draft", Tone.MUTED),
        Status.PREFLIGHT: Said("in preflight", Tone.INFO),
        Status.ENTERING: Said("entering a stage", Tone.INFO),
        Status.OBSERVING: Said("observing", Tone.INFO),
        Status.HELD: Said("held", Tone.WARN),
        Status.DECIDING: Said("waiting to decide", Tone.INFO),
        Status.AWAITING_APPROVAL: Said("waiting for approval", Tone.WARN),
        Status.WATCHING: Said("watching", Tone.INFO),
        Status.PAUSED: Said("paused", Tone.WARN),
        Status.ROLLING_BACK: Said("rolling back", Tone.BAD),
        Status.SUCCEEDED: Said("succeeded", Tone.GOOD),
        Status.ROLLED_BACK: Said("rolled back", Tone.BAD),
        Status.REJECTED: Said("rejected", Tone.BAD),
        Status.ABORTED: Said("aborted", Tone.MUTED),
    }
)
_VERDICTS: Mapping[Verdict, Said] = MappingProxyType(
    {
        Verdict.BREACH: Said("harm is shown", Tone.BAD),
        Verdict.SAMPLE_RATIO_MISMATCH: Said("units are not split as promised", Tone.BAD),
        Verdict.OUTAGE: Said("the evidence can't be read or trusted", Tone.WARN),
        Verdict.NO_DATA: Said("data are missing", Tone.WARN),
        Verdict.INSUFFICIENT: Said("too few units yet", Tone.MUTED),
        Verdict.PASS: Said("nothing against it", Tone.GOOD),
        Verdict.WIN: Said("the goal is shown", Tone.GOOD),
        Verdict.LOSE: Said("the goal is out of reach", Tone.BAD),
        Verdict.FLAT: Said("no difference was shown", Tone.WARN),
    }
)


def status_words(status: Status) -> Said:
    """Say what an experiment is doing."""
    return _STATUSES[status]


def verdict_words(verdict: Verdict | None) -> Said:
    """Say what a look found."""
    return Said(NOTHING, Tone.MUTED) if verdict is None else _VERDICTS[verdict]
