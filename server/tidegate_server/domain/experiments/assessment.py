"""What a look says, given the looks before it: one verdict, and why."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate_server.analysis.decision import Evidence, Judgement, Options, Verdict, judge
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.quality import ALPHA, Quality
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.look import CeilingReading, Findings, Look
from tidegate_server.domain.experiments.plan import Ceiling, Plan
from tidegate_server.domain.experiments.state import IN_STAGE, State, stage_of

PASSED = frozenset({Verdict.PASS, Verdict.WIN, Verdict.LOSE, Verdict.FLAT})
"""Verdicts of evidence that is sufficient and shows no harm."""

HEALTHY = PASSED | {Verdict.INSUFFICIENT}
"""Verdicts in whose time the bake clock runs."""

UNTRUSTED = frozenset({Verdict.SAMPLE_RATIO_MISMATCH, Verdict.OUTAGE})
"""Verdicts that hold a stage at once."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """The verdict of a look with its reasons.

    evidence: what was judged; None where nothing was. ceilings, least_p: as in State, this look
    included.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    evidence: Evidence | None
    ceilings: tuple[tuple[bool, ...], ...]
    least_p: float


def assess(plan: Plan, state: State, look: Look, now: datetime) -> Assessment:
    """Return the first of these that applies; those of one line are told apart by `judge`.

    1. OUTAGE: the evidence can't be read. NO_DATA: the treatment has no share.
    2. BREACH, SAMPLE_RATIO_MISMATCH, OUTAGE, NO_DATA as `judge` finds them.
    3. NO_DATA: an arm has been silent, or a metric of the plan has no events.
    4. INSUFFICIENT: burn-in, or too few units in this stage.
    5. What else `judge` says.
    """
    found = look.findings
    if isinstance(found, str):
        return _without(state, Verdict.OUTAGE, f"the evidence can't be read: {found}")
    if look.flag.treatment_ppm == 0:
        return _without(state, Verdict.NO_DATA, "the treatment has no share yet")
    ceilings = _remembered(plan, state, found)
    least_p = min(state.least_p, found.sample_ratio_p)
    evidence = replace(
        found.evidence,
        units=found.evidence.units if plan.compares else found.stage_units,
        quality=_quality(found.evidence.quality, least_p),
        ceilings=tuple(_broken(plan, ceilings, found)),
    )
    burn_in = plan.quality.burn_in if plan.compares else 0.0
    judged = judge(evidence, Options(plan.quality.alpha, burn_in))
    judged = _with_gaps(plan, state, found, judged, now)
    return Assessment(judged.verdict, judged.reasons, evidence, ceilings, least_p)


def _without(state: State, verdict: Verdict, why: str) -> Assessment:
    return Assessment(verdict, (why,), None, state.ceilings, state.least_p)


def _remembered(plan: Plan, state: State, found: Findings) -> tuple[tuple[bool, ...], ...]:
    """Return what the last looks found of each ceiling, this one included."""
    before = state.ceilings or ((),) * len(plan.ceilings)
    return tuple(
        (*past, exceeded(ceiling, reading))[-ceiling.looks :]
        for ceiling, past, reading in zip(plan.ceilings, before, found.ceilings, strict=True)
    )


def exceeded(ceiling: Ceiling, reading: CeilingReading) -> bool:
    """Return whether a reading lies beyond its limit, by more than chance does."""
    if isinstance(reading.value, NotEstimable) or reading.events < ceiling.least_events:
        return False
    if ceiling.floor:
        return reading.value + reading.slack < ceiling.limit
    return reading.value - reading.slack > ceiling.limit


def _broken(plan: Plan, ceilings: tuple[tuple[bool, ...], ...], found: Findings) -> Iterator[str]:
    """Say which ceilings are broken by enough of the last looks."""
    for ceiling, past, reading in zip(plan.ceilings, ceilings, found.ceilings, strict=True):
        if sum(past) >= ceiling.broken:
            said = f"was beyond its limit in {sum(past)} of the last {len(past)} looks"
            if past[-1]:
                said = f"is {reading.value:.3g} over the last {format_duration(ceiling.window)}"
            side = "at least" if ceiling.floor else "at most"
            yield f"{ceiling.metric} {said}; {side} {ceiling.limit:.3g} is allowed"


def _quality(quality: Quality, least_p: float) -> Quality:
    """Return the faults of the evidence with a mismatch that an earlier look has seen."""
    if quality.mismatch or least_p >= ALPHA:
        return quality
    return replace(quality, mismatch=f"units are not split as promised (p = {least_p:.2g})")


def _with_gaps(
    plan: Plan, state: State, found: Findings, judged: Judgement, now: datetime
) -> Judgement:
    """Return a verdict that nothing speaks against, or what the evidence lacks for it."""
    if judged.verdict not in HEALTHY:
        return judged
    silence = plan.quality.silence
    if found.newest is None:
        return Judgement(Verdict.NO_DATA, ("an arm has had no event since the split changed",))
    if now - found.newest > silence:
        return Judgement(
            Verdict.NO_DATA, (f"an arm has had no event for {format_duration(silence)}",)
        )
    if found.absent:
        names = ", ".join(found.absent)
        return Judgement(
            Verdict.NO_DATA, (f"{names}: an arm has no such events; is the name right?",)
        )
    needed = stage_of(plan, state).min_units if state.status in IN_STAGE else 0
    if judged.verdict in PASSED and found.stage_units < needed:
        have = f"{found.stage_units:,.0f} units in the smaller arm of this stage"
        return Judgement(Verdict.INSUFFICIENT, (f"{have}, {needed:,} needed",))
    return judged
