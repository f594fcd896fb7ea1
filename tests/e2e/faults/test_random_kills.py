"""kill -9 and restart of every role, in any order, under the load of four clients."""

import os
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.calls import apply_flag
from tests.e2e.faults.load import all_acknowledged, finish, load
from tests.e2e.faults.roles import SECOND_WORKER, SERVER, STORE, WORKER, Roles, running_roles
from tests.e2e.tally import await_aggregated, total

SEED = int(os.environ.get("FAULT_SEED", "1"))
ROLES = (STORE, SERVER, WORKER, SECOND_WORKER)
CLIENTS = 4
LONGEST_DOWN = 2.0
LEAST_UP = 0.2


@dataclass(frozen=True, slots=True)
class Kill:
    """A role is killed at a moment, and started again at a later one: seconds from the begin."""

    role: str
    at: float
    again: float


def schedule(seed: int, kills: int, seconds: float, roles: Sequence[str] = ROLES) -> list[Kill]:
    """Draw kills, as many of each role; roles may be away together, and none is killed then."""
    rng = random.Random(seed)
    order = list(roles) * (kills // len(roles))
    rng.shuffle(order)
    drawn: list[Kill] = []
    back = dict.fromkeys(roles, 0.0)  # when each role has run for a while again
    for role, at in zip(order, sorted(rng.uniform(0, seconds) for _ in order), strict=True):
        begin = max(at, back[role])
        again = begin + rng.uniform(0, LONGEST_DOWN)
        back[role] = again + LEAST_UP
        drawn.append(Kill(role, begin, again))
    return drawn


def carry_out(roles: Roles, kills: Sequence[Kill]) -> None:
    """Kill and start roles at their moments."""
    begin, waiting = time.monotonic(), threading.Event()
    steps = [(kill.at, partial(roles.kill, kill.role)) for kill in kills]
    steps += [(kill.again, partial(roles.start, kill.role)) for kill in kills]
    for moment, act in sorted(steps, key=lambda step: step[0]):
        waiting.wait(begin + moment - time.monotonic())
        act()


@pytest.mark.parametrize(
    ("kills", "seconds"),
    [
        pytest.param(20, 40, marks=pytest.mark.timeout(200)),
        pytest.param(200, 540, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)]),
    ],
    ids=["one minute", "ten minutes"],
)
def test_every_acknowledged_event_is_counted_once(
    tmp_path: Path, kills: int, seconds: float
) -> None:
    drawn = schedule(SEED, kills, seconds)
    print(f"FAULT_SEED={SEED}", *drawn, sep="\n")  # noqa: T201 - shown on failure
    with running_roles(Roles(tmp_path), *ROLES) as roles:
        apply_flag(roles.address, "kills", v1=50, v2=30, v3=20)
        with load(roles.address, "kills", CLIENTS) as clients:
            all_acknowledged(clients)
            carry_out(roles, drawn)
            acknowledged = finish(clients)
        print(f"{total(acknowledged):,} events acknowledged")  # noqa: T201
        await_aggregated(roles.address, "kills", acknowledged)
    assert total(acknowledged) > CLIENTS * seconds * 1_000
