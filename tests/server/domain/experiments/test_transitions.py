"""The whole table: every status, whatever a look may find, and whatever may be asked for."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum, auto
from itertools import product

import pytest

from tests.server.domain.experiments.samples import HOUR, MINUTE, NOW, PERCENT, PLAN, look, seen
from tidegate.model import PPM
from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.commands import command
from tidegate_server.domain.experiments.decide import decide
from tidegate_server.domain.experiments.look import FlagSeen, Gate, GateState, Look
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.domain.experiments.state import ENDED, State, Status
from tidegate_server.errors import Refused


class Finding(StrEnum):
    """What a look finds; unless it says so nothing is amiss, and the stage's time is over."""

    PASS = auto()
    WIN = auto()
    LOSE = auto()
    FLAT = auto()
    INSUFFICIENT = auto()
    NO_DATA = auto()
    OUTAGE = auto()
    MISMATCH = auto()
    BREACH = auto()
    UNREADABLE = auto()
    LEASE_OVER = auto()
    STOOD_STILL = auto()
    DEADLINE = auto()
    SPLIT_CHANGED = auto()
    KILLED = auto()
    GONE = auto()
    GATE_WAITING = auto()
    GATE_FAILED = auto()


VERDICTS = {
    Finding.WIN: Verdict.WIN,
    Finding.LOSE: Verdict.LOSE,
    Finding.FLAT: Verdict.FLAT,
    Finding.INSUFFICIENT: Verdict.INSUFFICIENT,
    Finding.NO_DATA: Verdict.NO_DATA,
    Finding.OUTAGE: Verdict.OUTAGE,
    Finding.MISMATCH: Verdict.SAMPLE_RATIO_MISMATCH,
    Finding.BREACH: Verdict.BREACH,
    Finding.LEASE_OVER: Verdict.NO_DATA,
    Finding.STOOD_STILL: Verdict.INSUFFICIENT,
}

SHARES = {
    Status.DRAFT: 0,
    Status.PREFLIGHT: 2 * PERCENT,
    Status.ENTERING: 5 * PERCENT,
    Status.WATCHING: PPM,
    Status.ROLLING_BACK: 25 * PERCENT,
} | dict.fromkeys(ENDED, 0)
"""The treatment's share in each status; 25 % in the others."""

D, PF, EN, OB, HE, DE, AP, WA, PA, RB = (
    Status.DRAFT,
    Status.PREFLIGHT,
    Status.ENTERING,
    Status.OBSERVING,
    Status.HELD,
    Status.DECIDING,
    Status.AWAITING_APPROVAL,
    Status.WATCHING,
    Status.PAUSED,
    Status.ROLLING_BACK,
)
SU, RO, RE, AB = Status.SUCCEEDED, Status.ROLLED_BACK, Status.REJECTED, Status.ABORTED

__ = None
_ORDER = (D, PF, EN, OB, HE, DE, AP, WA, PA, RB, SU, RO, RE, AB)
# fmt: off
_LOOKS = {  # D   PF  EN  OB  HE  DE  AP  WA  PA  RB  SU  RO  RE  AB
    Finding.PASS:          (D, EN, OB, DE, OB, DE, AP, SU, PA, RB, SU, RO, RE, AB),
    Finding.WIN:           (D, EN, OB, EN, OB, EN, AP, SU, PA, RB, SU, RO, RE, AB),
    Finding.LOSE:          (D, EN, OB, RB, OB, RB, AP, SU, PA, RB, SU, RO, RE, AB),
    Finding.FLAT:          (D, EN, OB, RB, OB, RB, AP, SU, PA, RB, SU, RO, RE, AB),
    Finding.INSUFFICIENT:  (D, EN, OB, OB, OB, DE, AP, SU, PA, RB, SU, RO, RE, AB),
    Finding.NO_DATA:       (D, EN, EN, OB, HE, DE, AP, WA, PA, RB, SU, RO, RE, AB),
    Finding.OUTAGE:        (D, EN, HE, HE, HE, HE, HE, WA, PA, RB, SU, RO, RE, AB),
    Finding.MISMATCH:      (D, EN, HE, HE, HE, HE, HE, WA, PA, RB, SU, RO, RE, AB),
    Finding.BREACH:        (D, RB, RB, RB, RB, RB, RB, RB, RB, RB, SU, RO, RE, AB),
    Finding.UNREADABLE:    (D, EN, HE, HE, HE, HE, HE, WA, PA, RB, SU, RO, RE, AB),
    Finding.LEASE_OVER:    (D, EN, HE, HE, HE, HE, HE, WA, PA, RB, SU, RO, RE, AB),
    Finding.STOOD_STILL:   (D, EN, RB, RB, OB, RB, AP, SU, PA, RB, SU, RO, RE, AB),
    Finding.DEADLINE:      (D, RB, RB, RB, RB, RB, RB, SU, RB, RB, SU, RO, RE, AB),
    Finding.SPLIT_CHANGED: (D, PA, PA, PA, PA, PA, PA, PA, PA, RB, SU, RO, RE, AB),
    Finding.KILLED:        (D, RB, RB, RB, RB, RB, RB, RB, RB, RB, SU, RO, RE, AB),
    Finding.GONE:          (D, AB, AB, AB, AB, AB, AB, AB, AB, RE, SU, RO, RE, AB),
    Finding.GATE_WAITING:  (D, PF, EN, DE, OB, DE, AP, SU, PA, RB, SU, RO, RE, AB),
    Finding.GATE_FAILED:   (D, RB, RB, DE, OB, DE, AP, SU, PA, RB, SU, RO, RE, AB),
}
_REQUESTS = {  # D   PF  EN  OB  HE  DE  AP  WA  PA  RB  SU  RO  RE  AB; None: refused
    Request.START:   (PF, __, __, __, __, __, __, __, __, __, __, __, __, __),
    Request.PAUSE:   (__, PA, PA, PA, PA, PA, PA, PA, __, __, __, __, __, __),
    Request.RESUME:  (__, __, __, __, __, __, __, __, EN, __, __, __, __, __),
    Request.APPROVE: (__, __, __, __, __, __, EN, __, __, __, __, __, __, __),
    Request.SKIP:    (__, EN, EN, EN, EN, EN, __, SU, __, __, __, __, __, __),
    Request.ABORT:   (AB, RB, RB, RB, RB, RB, RB, RB, RB, __, __, __, __, __),
    Request.PROMOTE: (__, __, WA, WA, WA, WA, WA, __, __, __, __, __, __, __),
    Request.RETRY:   (__, __, __, __, __, __, __, __, __, __, __, PF, PF, PF),
}
# fmt: on
LOOKS: Mapping[tuple[Finding, Status], Status] = {
    (finding, status): row[column]
    for finding, row in _LOOKS.items()
    for column, status in enumerate(_ORDER)
}


def test_the_table_has_every_cell() -> None:
    assert set(LOOKS) == set(product(Finding, Status))
    assert set(_REQUESTS) == set(Request)
    assert {len(row) for row in (*_LOOKS.values(), *_REQUESTS.values())} == {len(Status)}


def state_in(status: Status) -> State:
    """Return a state in the stage that decides, with all its time seen and nothing shown yet."""
    share = SHARES.get(status, 25 * PERCENT)
    return State(
        status=status,
        stage=0 if status is Status.PREFLIGHT else 3 if status is Status.WATCHING else 1,
        share_ppm=share,
        attempt=1,
        started=NOW - 3 * HOUR,
        since=NOW - MINUTE,
        looked=NOW - MINUTE / 6,
        verdict=Verdict.PASS,
        healthy=True,
        last_healthy=NOW - MINUTE / 6,
        baked=2 * HOUR,
        streak=10,
        resume=Status.ENTERING if status is Status.PAUSED else None,
        ending=Status.REJECTED if status is Status.ROLLING_BACK else None,
    )


def situation(finding: Finding, status: Status) -> tuple[State, Look]:
    state = state_in(status)
    seen_now = look(VERDICTS.get(finding, Verdict.PASS), state.share_ppm, NOW)
    match finding:
        case Finding.UNREADABLE:
            return state, replace(seen_now, findings="the store is away")
        case Finding.LEASE_OVER:
            return replace(state, healthy=False, last_healthy=NOW - HOUR), seen_now
        case Finding.STOOD_STILL:
            return replace(state, waiting_since=NOW - 3 * HOUR), seen_now
        case Finding.DEADLINE:
            return replace(state, started=NOW - 200 * HOUR), seen_now
        case Finding.SPLIT_CHANGED:
            share = state.share_ppm + PERCENT if state.share_ppm < PPM else 5 * PERCENT
            return state, replace(seen_now, flag=seen(share))
        case Finding.KILLED:
            return state, replace(seen_now, flag=replace(seen_now.flag, killed=True))
        case Finding.GONE:
            flag = FlagSeen(0, 0, gone="flag 'chat-model' was deleted")
            return state, replace(seen_now, flag=flag)
        case Finding.GATE_WAITING:
            return state, replace(seen_now, gate=Gate(GateState.WAITING, "one replica loads"))
        case Finding.GATE_FAILED:
            return state, replace(seen_now, gate=Gate(GateState.FAILED, "no replica is healthy"))
    return state, seen_now


@pytest.mark.parametrize(("finding", "status"), list(LOOKS))
def test_what_comes_of_a_look(finding: Finding, status: Status) -> None:
    state, seen_now = situation(finding, status)
    step = decide(PLAN, state, seen_now, NOW)
    assert step.state.status is LOOKS[finding, status]
    changed = step.state.status is not status or step.share_ppm is not None
    assert len(step.decisions) == changed
    for decision in step.decisions:
        assert decision.why
        assert (decision.before, decision.after) == (state, step.state)


UNGUARDED = replace(PLAN, stages=tuple(replace(each, approval=False) for each in PLAN.stages))


@pytest.mark.parametrize(("asked", "status"), list(product(Request, Status)))
def test_what_comes_of_a_request(asked: Request, status: Status) -> None:
    state, expected = state_in(status), _REQUESTS[asked][_ORDER.index(status)]
    flag = seen(state.share_ppm)
    if expected is None:
        with pytest.raises(
            Refused, match=f"'{status.replace('_', ' ')}': {asked} is for one that "
        ):
            command(UNGUARDED, state, Command(asked, "anna"), flag, NOW)
        return
    step = command(UNGUARDED, state, Command(asked, "anna", "because"), flag, NOW)
    assert step.state.status is expected
    (decision,) = step.decisions
    assert (decision.actor, decision.before, decision.after) == ("anna", state, step.state)
    assert "because" in decision.why


@pytest.mark.parametrize("status", [EN, OB, HE, DE])
@pytest.mark.parametrize("asked", [Request.SKIP, Request.PROMOTE])
def test_nobody_gets_past_an_approval_without_one(asked: Request, status: Status) -> None:
    """`expand`, the third stage, is left only with an approval."""
    state = replace(state_in(status), stage=2)
    if asked is Request.PROMOTE:
        with pytest.raises(Refused, match="expand can be left only with an approval"):
            command(PLAN, state, Command(asked, "anna"), seen(state.share_ppm), NOW)
    else:
        step = command(PLAN, state, Command(asked, "anna"), seen(state.share_ppm), NOW)
        assert step.state.status is AP
