"""Orders: what always holds, whatever replicas, loads and splits do, and that they end."""

from collections import Counter
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import assume, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.server.domain.experiments.samples import NOW
from tests.server.domain.replicas.samples import (
    BEAT,
    POLICY,
    V1,
    V2,
    V3,
    order,
    percent,
    replica,
    serving,
    wanted,
)
from tests.server.domain.replicas.world import World
from tidegate.model import VariantKey
from tidegate_server.domain.replicas.reassign import destiny, least_serving, reassign
from tidegate_server.domain.replicas.replica import (
    NONE,
    Failure,
    Order,
    Replica,
    ReplicaId,
    ReplicaState,
    Step,
)
from tidegate_server.domain.replicas.wanted import Wanted, counts

CANARY = wanted(percent(v1=95, v2=5), percent(v1=100), kept=(V1,))
HALF = wanted(percent(v1=50, v2=50), percent(v1=100))
BACK = wanted(percent(v1=100), kept=(V1,))


def orders(replicas: list[Replica], asked: Wanted) -> dict[str, Order | None]:
    return {each.id: each.order for each in reassign(replicas, asked, POLICY, NOW, {})}


def drain(variant: str) -> Order:
    return order(variant, Step.DRAIN)


def test_nothing_changes_where_all_is_as_it_shall_be() -> None:
    assert orders(serving(v1=2, v2=1), wanted(percent(v1=95, v2=5))) == {}
    assert orders([], CANARY) == {}


def test_one_at_a_time_is_drained_the_least_busy_first() -> None:
    replicas = [replica("a", load=0.9), replica("b", load=0.2), replica("c", load=0.8)]
    assert orders(replicas, HALF) == {"b": drain("v2")}
    assert orders([replace(replicas[1], order=drain("v2")), *replicas[::2]], HALF) == {}


def test_of_many_a_quarter_changes_at_a_time_once_one_has_shown_that_it_works() -> None:
    first = serving(v1=20)
    assert len(orders(first, HALF)) == 1
    assert len(orders([replace(first[0], order=drain("v2")), *first[1:]], HALF)) == 0
    proven = serving(v1=19, v2=1)
    assert len(orders(proven, HALF)) == 5
    busy = [replace(each, order=drain("v2")) for each in proven[:3]]
    assert len(orders([*busy, *proven[3:]], HALF)) == 2


def test_one_without_a_model_goes_first_and_loads_at_once() -> None:
    for free in (replica("z", ""), replica("z", state=ReplicaState.FAILED)):
        assert orders([free, *serving(v1=2)], CANARY) == {"z": order("v2")}


def test_the_last_one_of_a_variant_with_traffic_is_never_taken() -> None:
    alone = wanted(percent(v2=100), percent(v1=5, v2=95), base=V2)
    assert orders(serving(v1=1, v2=2), alone) == {}
    assert orders(serving(v1=1, v2=2), wanted(percent(v2=100), base=V2)) == {"v1-0": drain("v2")}
    assert orders(serving(v1=1, v2=2), wanted(percent(v2=100), base=V2, kept=(V1,))) == {}


def test_who_died_is_replaced() -> None:
    even = wanted(percent(v1=50, v2=50))
    gone = [replace(each, heard=NOW - 4 * BEAT) for each in serving(v2=2)]
    assert orders([*serving(v1=3), *gone], even) == {"v1-0": drain("v2")}


def test_a_rollback_takes_back_what_is_still_draining_and_redirects_what_loads() -> None:
    drains = replica("a", order=drain("v2"))
    loads = replica("b", state=ReplicaState.LOADING, order=order("v2"))
    assert orders([drains, loads, *serving(v1=1)], BACK) == {"a": None, "b": order("v1")}


def test_what_drains_for_one_variant_goes_on_for_another() -> None:
    since = order("v2", Step.DRAIN, BEAT)
    drains = replica("a", order=since)
    third = wanted(percent(v1=50, v3=50), percent(v1=100))
    assert orders([drains, *serving(v1=1)], third) == {"a": replace(since, variant=V3)}


def test_the_fixed_are_counted_and_left_alone() -> None:
    groups = [replace(each, fixed=True) for each in serving(v1=3, v2=1)]
    assert orders(groups, wanted(percent(v1=50, v2=50))) == {}
    mixed = [*groups[:3], *serving(v2=3)]
    assert orders(mixed, wanted(percent(v1=80, v2=20))) == {"v2-0": drain("v1")}


def test_who_starts_with_a_variant_is_counted_before_it_is_ready() -> None:
    starts = replica("z", "v2", ReplicaState.LOADING)
    assert orders([starts, *serving(v1=2)], CANARY) == {}
    elsewhere = replica("z", "v9", ReplicaState.LOADING)
    assert orders([elsewhere, *serving(v1=2)], CANARY) == {"v1-0": drain("v2")}


def test_a_variant_that_could_not_be_loaded_is_tried_elsewhere() -> None:
    failed = replica("a", load=0.0, failures=(Failure(V2, 1, NOW, "no memory"),))
    assert orders([failed, *serving(v1=2)], CANARY) == {"v1-0": drain("v2")}
    broken = replace(failed, report=replace(failed.report, state=ReplicaState.FAILED))
    assert orders([broken, *serving(v1=1)], BACK) == {"a": order("v1")}
    assert orders([broken, *serving(v2=1)], wanted(percent(v2=100), base=V2)) == {}


def test_a_model_that_no_replica_can_load_costs_one_at_a_time() -> None:
    """Each that failed goes back to what works; capacity is down by one, not used up."""
    world = World(slow=1)
    for name in "abcd":
        world.start(name)
        world.broken.add((ReplicaId(name), V2))
    world.wanted = CANARY
    for _ in range(60):
        world.tick()
        assert world.serving(V1) >= 3
    assert world.serving(V1) == 4
    assert {each.failure(V2) is not None for each in world.stored.values()} == {True}
    assert world.loads == 2 * 4  # each tried once, and went back
    for _ in range(60):
        world.tick()
    assert 2 * 4 < world.loads <= 4 * 4  # their cool-off is over


@pytest.mark.parametrize("number", [2, 3, 4, 7, 12, 40])
def test_a_whole_rollout_and_a_rollback_change_as_few_as_can_be(number: int) -> None:
    world = World()
    for index in range(number):
        world.start(f"r{index:02}")
    present, done = percent(v1=100), 0
    for share in (5, 25, 50, 100):
        coming = percent(v1=100 - share, v2=share)
        world.wanted = wanted(coming, present, kept=(V1,))
        world.settle()
        treated = counts(world.wanted, number)[V2]
        assert world.serving(V2) == treated
        assert world.loads == treated
        done, present = treated, coming
    world.wanted = wanted(percent(v1=100), kept=(V1,))
    world.settle()
    assert world.serving(V1) == number
    assert world.loads == 2 * done


class Fleet(RuleBasedStateMachine):
    """Replicas die, start, fail and are drained while splits change and stages are entered."""

    names = st.sampled_from("abcdefgh")
    variants = st.sampled_from([V1, V2, V3])

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(number=st.integers(1, 8), fixed=st.integers(0, 2))
    def begin(self, number: int, fixed: int) -> None:
        for index, name in enumerate("abcdefgh"[:number]):
            self.world.start(name, fixed=index < fixed)

    @rule(ticks=st.integers(1, 6))
    def wait(self, ticks: int) -> None:
        for _ in range(ticks):
            self.world.tick()

    @rule(name=names, variant=variants | st.just(NONE))
    def start(self, name: str, variant: VariantKey) -> None:
        before = self.world.stored.get(ReplicaId(name))
        assume(before is None or not before.fixed)
        self.world.start(name, variant)

    @rule(name=names)
    def die(self, name: str) -> None:
        process = self.world.processes.get(ReplicaId(name))
        if process is not None:
            process.alive = False

    @rule(name=names, drained=st.booleans())
    def drain(self, name: str, drained: bool) -> None:
        key = ReplicaId(name)
        if key in self.world.stored:
            self.world.stored[key] = replace(self.world.stored[key], drained=drained)

    @rule(name=names, variant=variants)
    def break_(self, name: str, variant: VariantKey) -> None:
        self.world.broken.add((ReplicaId(name), variant))

    @rule(slow=st.integers(1, 5), busy=st.integers(0, 3))
    def slow_down(self, slow: int, busy: int) -> None:
        self.world.slow, self.world.busy = slow, busy

    @rule(first=st.integers(0, 100), second=st.integers(0, 100), base=variants)
    def split(self, first: int, second: int, base: VariantKey) -> None:
        """Change the split at once, as somebody may by hand."""
        low, high = sorted((first, second))
        shares = percent(v1=low, v2=high - low, v3=100 - high)
        self.world.wanted = Wanted(shares, shares, base)

    @rule(share=st.integers(1, 100))
    def enter(self, share: int) -> None:
        """Enter a stage over replicas."""
        present = self.world.wanted.present
        coming = percent(v1=100 - share, v2=share)
        self.world.wanted = wanted(coming, dict(present), kept=(V1,))

    @precondition(lambda self: self.world.wanted.coming != self.world.wanted.present)
    @rule(back=st.booleans())
    def give_share_or_roll_back(self, back: bool) -> None:
        asked = self.world.wanted
        shares = percent(v1=100) if back else asked.coming
        self.world.wanted = replace(asked, present=shares, coming=shares)

    @rule()
    def settle(self) -> None:
        """It comes to what is wanted, as soon as nothing else happens."""
        world = self.world
        world.settle()
        able, numbers = world.able(), world.numbers()
        assigned = Counter(map(destiny, able))
        assert sum(assigned.values()) == sum(numbers.values())
        for variant, number in assigned.items():
            least = least_serving(variant, world.wanted, numbers)
            spare = any(not each.fixed and destiny(each) == variant for each in able)
            assert number <= max(numbers.get(variant, 0), least) or not spare


Fleet.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestFleet = Fleet.TestCase
