"""Experiments as text: states, verdicts and figures in words, alike for every front end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

from tidegate_server.analysis.looks import Verdict
from tidegate_server.domain.checks import percent
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Measured
from tidegate_server.domain.experiments.state import ENDED, IN_STAGE, State, Status, stage_of
from tidegate_server.report_text import ERROR, figure, number, relative

GOAL, CEILING = "goal", "ceiling"
"""Roles of a metric, as in `Measured`; the third is guardrail."""


class Tone(StrEnum):
    """How something is meant; it is always said in words too."""

    PLAIN = ""
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    INFO = "info"
    MUTED = "muted"


@dataclass(frozen=True, slots=True)
class Said:
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
        Status.AWAITING_APPROVAL: Said("waits for approval", Tone.WARN),
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
        Verdict.OUTAGE: Said("the evidence can't be read", Tone.WARN),
        Verdict.NO_DATA: Said("data are missing", Tone.WARN),
        Verdict.INSUFFICIENT: Said("too few units yet", Tone.MUTED),
        Verdict.PASS: Said("nothing against it", Tone.GOOD),
        Verdict.WIN: Said("shown to be better", Tone.GOOD),
        Verdict.LOSE: Said("the goal is out of reach", Tone.BAD),
        Verdict.FLAT: Said("no difference was shown", Tone.WARN),
    }
)


def status_words(status: Status) -> Said:
    """Say what an experiment is doing."""
    return _STATUSES[status]


def verdict_words(verdict: Verdict | None) -> Said:
    """Say what the last look found."""
    return Said("not looked yet", Tone.MUTED) if verdict is None else _VERDICTS[verdict]


def share_words(plan: Plan, state: State) -> str:
    """Say what share the treatment has."""
    return f"{plan.treatment} has {percent(state.share_ppm)} of the units"


def waits_for(plan: Plan, state: State) -> list[Said]:
    """Say what must be seen, or done, before it goes on; good is what is there."""
    match state.status:
        case Status.PREFLIGHT if plan.preflight is not None:
            return [Said(f"checks, for at most {format_duration(plan.preflight.limit)}")]
        case Status.WATCHING:
            return [_done(state.baked, plan.watch, "watched")]
        case Status.AWAITING_APPROVAL:
            return [Said("somebody approves", Tone.WARN)]
        case Status.PAUSED:
            return [Said("somebody resumes", Tone.WARN)]
        case Status.DRAFT:
            return [Said("somebody starts it")]
    return list(_stage_lacks(plan, state)) if state.status in IN_STAGE else []


def _stage_lacks(plan: Plan, state: State) -> Iterator[Said]:
    stage = stage_of(plan, state)
    if state.status is Status.HELD:
        yield Said("healthy evidence", Tone.WARN)
    if state.status is Status.ENTERING:
        yield Said(f"the stage is ready for {percent(stage.share_ppm)}")
    yield _done(state.baked, stage.bake, "baked")
    if stage.min_units:
        there = Tone.GOOD if state.streak else Tone.PLAIN  # a look that saw too few is no pass
        yield Said(f"{stage.min_units:,} units in the smaller arm", there)
    passed = min(state.streak, stage.passes)
    there = Tone.GOOD if passed == stage.passes else Tone.PLAIN
    yield Said(f"{passed} of {stage.passes} passes in a row", there)
    if stage.decide:
        yield Said("the goal and all margins are shown")
    if stage.approval:
        yield Said("somebody approves")


def _done(passed: timedelta, needed: timedelta, what: str) -> Said:
    there = Tone.GOOD if passed >= needed else Tone.PLAIN
    so_far = format_duration(min(passed, needed))
    return Said(f"{what} {so_far} of {format_duration(needed)}", there)


def follows(plan: Plan, state: State) -> str:
    """Say what comes after that; empty at the end."""
    if state.status in ENDED | {Status.ROLLING_BACK}:
        return ""
    if state.status is Status.WATCHING:
        return "the end: succeeded"
    begun = state.status not in (Status.DRAFT, Status.PREFLIGHT)
    following = state.stage + 1 if begun else 0
    if following < len(plan.stages):
        stage = plan.stages[following]
        return f"{stage.name}: {percent(stage.share_ppm)}"
    watch = f", watched for {format_duration(plan.watch)}" if plan.watch else ""
    return f"promotion: {plan.treatment} gets 100 %{watch}"


def figure_words(measured: Measured) -> str:
    """Say what is known of a metric."""
    if measured.value is None:
        return "not estimable yet"
    if measured.role == CEILING:
        return figure(measured.metric, measured.value)
    if measured.lower is None or measured.upper is None:
        return relative(measured.value)
    return f"{relative(measured.value)} ({relative(measured.lower)} … {relative(measured.upper)})"


def limit_words(measured: Measured) -> str:
    """Say what is asked of a metric, and what rolls back."""
    if measured.role == CEILING:
        limit = measured.threshold
        return f"limit {100 * limit:.4g}%" if measured.metric == ERROR else f"limit {number(limit)}"
    asked = "wanted" if measured.role == GOAL else "margin"
    tolerance = measured.tolerance
    rolls_back = "" if tolerance is None else f", harm beyond {tolerance:.1%} rolls back"
    return f"{asked} {measured.threshold:.1%}{rolls_back}"
