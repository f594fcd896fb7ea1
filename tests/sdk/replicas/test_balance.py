"""How requests spread over replicas: simulated, with fixed seeds."""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest

from tidegate.replicas.balance import (
    FAILURE_SECONDS,
    KnownReplicas,
    Member,
    Replica,
    UnderWay,
    less_busy,
)

SECOND = 1.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def replicas(number: int, capacity: int = 0) -> list[Replica]:
    return [Replica(f"r{i}", f"r{i}:80", "v1", capacity=capacity) for i in range(number)]


def simulate(
    seconds_of: Sequence[float],
    *,
    rate: float,
    requests: int = 20_000,
    clients: int = 1,
    report_every: float = 5.0,
    capacity: int = 8,
    fails: Callable[[int], bool] = lambda _: False,
    choose: Callable[[Sequence[Member], Random], Member] = lambda m, rng: less_busy(m, rng.random),
    seed: int = 7,
) -> tuple[Counter[int], int]:
    """Send requests at random times; replica i takes exponential times with mean seconds_of[i].

    Clients know what they have under way themselves, and every few seconds how busy the replicas
    say they are. Returns the requests by replica, and the most that one had under way.
    """
    rng, clock = Random(seed), Clock()
    number = len(seconds_of)
    pools = [[Member(each, clock) for each in replicas(number, capacity)] for _ in range(clients)]
    ends: list[tuple[float, int, int]] = []
    sent, busy, most, reported = Counter[int](), [0] * number, 0, 0.0
    for _ in range(requests):
        clock.now += rng.expovariate(rate)
        while ends and ends[0][0] <= clock.now:
            _, client, index = heapq.heappop(ends)
            pools[client][index].under_way.end()
            busy[index] -= 1
            if fails(index):
                pools[client][index].note_failure()
        if clock.now - reported >= report_every:
            reported = clock.now
            for pool in pools:
                for member, under_way in zip(pool, busy, strict=True):
                    one = member.replica
                    load = under_way / capacity
                    member.renew(Replica(one.id, one.address, "v1", load, capacity, clock.now))
        client = rng.randrange(clients)
        member = choose(pools[client], rng)
        index = pools[client].index(member)
        member.under_way.begin()
        sent[index] += 1
        busy[index] += 1
        most = max(most, busy[index])
        heapq.heappush(ends, (clock.now + rng.expovariate(1 / seconds_of[index]), client, index))
    return sent, most


def spread(sent: Counter[int]) -> float:
    return max(sent.values()) / min(sent.values())


@pytest.mark.parametrize("clients", [1, 20])
def test_equal_replicas_get_about_as_much(clients: int) -> None:
    sent, _ = simulate([SECOND] * 10, rate=40, clients=clients)
    assert len(sent) == 10
    assert spread(sent) < 1.15


def test_the_longest_queue_is_shorter_than_by_chance_alone() -> None:
    chosen = simulate([SECOND] * 10, rate=60)[1]
    by_chance = simulate([SECOND] * 10, rate=60, choose=lambda m, rng: rng.choice(m))[1]
    assert chosen < 0.7 * by_chance


@pytest.mark.parametrize("clients", [1, 20])
def test_a_slow_replica_gets_less(clients: int) -> None:
    sent, _ = simulate([SECOND * 4, *[SECOND] * 4], rate=30, clients=clients)
    others = [sent[index] for index in range(1, 5)]
    assert sent[0] < 0.6 * min(others)
    assert max(others) / min(others) < 1.15


def test_a_replica_that_fails_at_once_does_not_draw_the_requests() -> None:
    seconds = [0.001, SECOND, SECOND]
    blind, _ = simulate(seconds, rate=10, requests=5_000)
    assert blind[0] > 2 * blind[1]  # what it would be, if nobody saw that it fails
    sent, _ = simulate(seconds, rate=10, requests=5_000, fails=lambda index: index == 0)
    assert sent[0] < sent[1]
    assert sent[0] < sent[2]


def test_a_large_replica_gets_more() -> None:
    small, large = Member(replicas(1, 2)[0]), Member(replicas(1, 6)[0])
    for _ in range(8):
        less_busy([small, large], Random(3).random).under_way.begin()
    assert (len(small.under_way), len(large.under_way)) == (2, 6)


def test_two_different_ones_are_compared() -> None:
    members = [Member(each) for each in replicas(5)]
    rng = Random(1)
    for member in members[1:]:
        member.under_way.begin()
    chosen = Counter(less_busy(members, rng.random).replica.id for _ in range(5_000))
    assert 0.36 < chosen["r0"] / 5_000 < 0.44  # it is one of the two in 40 %
    assert less_busy(members[:1]) is members[0]


def test_failures_count_for_a_while() -> None:
    clock = Clock()
    member = Member(replicas(1)[0], clock)
    member.note_failure()
    clock.now = FAILURE_SECONDS / 2
    member.note_failure()
    assert member.business == 2
    clock.now = FAILURE_SECONDS
    assert member.business == 1
    clock.now = 2 * FAILURE_SECONDS
    assert member.business == 0


def test_news_keep_what_is_under_way() -> None:
    known = KnownReplicas()
    known.update(replicas(2))
    (first, _) = known.groups["v1"]
    first.under_way.begin()
    known.update([Replica("r0", "r0:80", "v2", 2.5), Replica("r1", "elsewhere", "v2")])
    assert set(known.groups) == {"v2"}
    kept, moved = known.groups["v2"]
    assert kept is first
    assert (kept.business, moved.business) == (3.5, 0.0)
    known.after_fork()
    assert [each.business for each in known.groups["v2"]] == [2.5, 0.0]


def test_what_a_replica_said_counts_with_what_has_begun_since() -> None:
    member = Member(Replica("r", "r:80", "v1"))
    for _ in range(3):
        member.under_way.begin()
    member.renew(Replica("r", "r:80", "v1", load=1.25, capacity=4, heard=1.0))
    assert member.business == 1.25  # three of the five are ours
    member.under_way.begin()
    assert member.business == 1.5
    member.renew(Replica("r", "r:80", "v1", load=1.25, capacity=4, heard=1.0))
    assert member.business == 1.5  # heard of again, but not said again
    member.renew(Replica("r", "r:80", "v1", load=0.0, capacity=4, heard=2.0))
    assert member.business == 1.0  # at least what we know of


def test_counting() -> None:
    under_way = UnderWay()
    for _ in range(3):
        under_way.begin()
    under_way.end()
    assert len(under_way) == 2
