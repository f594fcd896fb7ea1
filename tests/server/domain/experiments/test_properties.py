"""Random plans meet random looks, requests, gaps and hands: what must hold always."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.domain.experiments.samples import MINUTE, PLAN
from tests.server.domain.experiments.world import World
from tidegate.model import PPM
from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.look import Gate, GateState
from tidegate_server.domain.experiments.plan import (
    ZERO,
    AfterHold,
    AfterLease,
    Lease,
    Plan,
    Preflight,
    Rollback,
    RollbackMode,
    Stage,
)
from tidegate_server.domain.experiments.requests import Request
from tidegate_server.domain.experiments.state import Status

Event: TypeAlias = Callable[[World], object]
SECOND = timedelta(seconds=1)

shares = st.lists(st.integers(1, PPM), min_size=1, max_size=4, unique=True).map(sorted)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    stages = []
    for number, share in enumerate(draw(shares)):
        decide = share < PPM and draw(st.booleans())
        limit = draw(st.sampled_from([None, 2 * MINUTE]))
        kinds = [each for each in AfterHold if not (decide and each is AfterHold.CONTINUE)]
        stages.append(
            Stage(
                name=f"s{number}",
                share_ppm=share,
                bake=draw(st.sampled_from([ZERO, 20 * SECOND, MINUTE])),
                min_units=draw(st.sampled_from([0, 1_000])),
                passes=draw(st.integers(1, 3)),
                decide=decide,
                approval=draw(st.booleans()),
                hold_limit=limit,
                after_hold=draw(st.sampled_from(kinds)) if limit else AfterHold.HOLD,
            )
        )
    return replace(
        PLAN,
        stages=tuple(stages),
        preflight=draw(st.sampled_from([None, Preflight(2 * MINUTE)])),
        watch=draw(st.sampled_from([ZERO, MINUTE])),
        deadline=draw(st.sampled_from([None, 20 * MINUTE])),
        lease=Lease(3 * MINUTE, draw(st.sampled_from(AfterLease))),
        rollback=Rollback(draw(st.sampled_from(RollbackMode)), step=30 * SECOND),
    )


gaps = st.sampled_from([10 * SECOND] * 6 + [ZERO, 31 * SECOND, 5 * MINUTE])
gates = st.sampled_from([Gate()] * 6 + [Gate(GateState.WAITING), Gate(GateState.FAILED, "no")])
verdicts = st.sampled_from([*[Verdict.PASS, Verdict.WIN] * 6, *Verdict, None])
ticks = st.builds(
    lambda verdict, gap, gate: lambda world: world.tick(verdict, gap, gate), verdicts, gaps, gates
)
healthy_ticks = st.integers(2, 9).map(
    lambda number: lambda world: [world.tick(Verdict.WIN, 10 * SECOND) for _ in range(number)]
)
requests = st.sampled_from(Request).map(lambda asked: lambda world: world.ask(asked))
helpful = st.sampled_from([Request.RESUME, Request.APPROVE, Request.RETRY]).map(
    lambda asked: lambda world: world.ask(asked)
)
hands = st.integers(0, PPM).map(lambda share: lambda world: world.change_by_hand(share))
kills = st.booleans().map(lambda killed: lambda world: world.kill(killed=killed))
events = st.lists(
    st.one_of(ticks, ticks, healthy_ticks, healthy_ticks, requests, helpful, hands, kills),
    min_size=5,
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@given(plans(), events)
def test_invariants(plan: Plan, happens: list[Event]) -> None:
    """`World` checks them at every step; at the end there is always a way out."""
    world = World(plan)
    world.ask(Request.START)
    for event in happens:
        event(world)
    world.finish()


@settings(max_examples=100, deadline=None)
@given(plans(), st.integers(0, 60), st.sampled_from([Verdict.PASS, Verdict.WIN]))
def test_a_breach_acts_at_any_moment(plan: Plan, moment: int, verdict: Verdict) -> None:
    world = World(plan)
    world.ask(Request.START)
    for _ in range(moment):
        world.tick(verdict, 10 * SECOND)
        if world.state.status is Status.AWAITING_APPROVAL:
            world.ask(Request.APPROVE)
    exposed, ended = world.flag.treatment_ppm, world.state.status is Status.SUCCEEDED
    world.tick(Verdict.BREACH, 10 * SECOND)
    assert (world.state.status is Status.ROLLING_BACK) == (exposed > 0 and not ended)


@settings(max_examples=100, deadline=None)
@given(plans(), st.lists(st.sampled_from([None, Verdict.OUTAGE, Verdict.NO_DATA]), min_size=50))
def test_without_limits_an_outage_changes_no_split(
    plan: Plan, outage: list[Verdict | None]
) -> None:
    stages = tuple(replace(each, hold_limit=None) for each in plan.stages)
    world = World(replace(plan, stages=stages, deadline=None, lease=Lease()))
    world.ask(Request.START)
    for _ in range(10):
        world.tick(Verdict.PASS, 10 * SECOND)
    status, share = world.state.status, world.flag.treatment_ppm
    for verdict in outage:
        world.tick(verdict, 10 * SECOND)
        assert world.flag.treatment_ppm == share or status is Status.WATCHING
        assert world.state.status is not Status.ROLLING_BACK


@settings(max_examples=100, deadline=None)
@given(plans())
def test_a_good_version_gets_through_and_no_faster_than_it_may(plan: Plan) -> None:
    world = World(plan)
    world.ask(Request.START)
    for _ in range(200):
        world.tick(Verdict.WIN, 10 * SECOND)
        world.ask(Request.APPROVE)
    assert world.state.status is Status.SUCCEEDED
    assert world.flag.treatment_ppm == PPM
    shares = [each.after.share_ppm for each in world.decisions]
    assert shares == list(accumulate(shares, max))
    first, last = world.decisions[0], world.decisions[-1]
    bakes = sum((stage.bake for stage in plan.stages), ZERO)
    assert last.time - first.time >= bakes + plan.watch
