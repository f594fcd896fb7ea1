"""Whole rollouts on folded events: how often harmless versions are rolled back, and slow ones not.

Every minute users come, with some requests each; their events are folded as the worker folds them,
and each look goes from aggregates and windows to `decide`.
"""

from collections import Counter
from datetime import timedelta

import numpy as np
import pytest

from tests.server.domain.experiments.samples import MINUTE, NOW, PERCENT
from tests.server.domain.experiments.traffic import KEY, V1, V2, Traffic, Version, flag
from tidegate.model import PPM
from tidegate_server.domain.experiments.commands import command
from tidegate_server.domain.experiments.decide import decide
from tidegate_server.domain.experiments.findings import findings
from tidegate_server.domain.experiments.look import FlagSeen, Look
from tidegate_server.domain.experiments.plan import (
    Ceiling,
    ExperimentKey,
    Goal,
    Margin,
    MetricName,
    Plan,
    QualityRules,
    Stage,
    metric_name,
)
from tidegate_server.domain.experiments.records import Step
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.domain.experiments.state import ENDED, State, Status

PLAN = Plan(
    key=ExperimentKey("chat-v2"),
    flag=KEY,
    control=V1,
    treatment=V2,
    goal=Goal(MetricName("rating"), tolerance=0.1, planned_units=15_000),
    guardrails=(
        Ceiling(MetricName("error"), 0.1),
        Ceiling(metric_name("latency_ms.p99"), 2_000.0),
        Margin(MetricName("error"), 0.5, 0.5),
        Margin(MetricName("latency_ms"), 0.1, 0.1),
        Margin(metric_name("latency_ms.p95"), 0.15, 0.15),
    ),
    stages=(
        Stage("canary", 5 * PERCENT, bake=30 * MINUTE, min_units=300, passes=3),
        Stage("test", 25 * PERCENT, bake=10 * MINUTE, min_units=1_000, passes=3, decide=True),
        Stage("full", PPM, bake=3 * MINUTE),
    ),
    quality=QualityRules(silence=3 * MINUTE),
    interval=MINUTE,
    watch=3 * MINUTE,
)
USERS_A_MINUTE = 1_000
LONGEST = timedelta(hours=2)


class Rollout:
    """One run of the plan. largest: share that the treatment had."""

    def __init__(self, seed: int, treatment: Version) -> None:
        versions = {V1: Version(), V2: treatment}
        self.traffic = Traffic(np.random.default_rng(seed), flag(0), versions, per_user=4)
        self.state = State()
        self.largest = 0
        self._take(command(PLAN, self.state, Command(Request.START, "anna"), self._seen, NOW))

    def go(self) -> Status:
        """Look every minute until the end."""
        traffic = self.traffic
        while self.state.status not in ENDED and traffic.now - NOW < LONGEST:
            traffic.come(int(traffic.rng.poisson(USERS_A_MINUTE)), MINUTE)
            made = findings(
                PLAN, self.state, traffic.flag, traffic.arms, traffic.windows, traffic.now
            )
            self._take(decide(PLAN, self.state, Look(self._seen, made), traffic.now))
        return self.state.status

    @property
    def _seen(self) -> FlagSeen:
        control, treatment = self.traffic.flag.split
        return FlagSeen(control.ppm, treatment.ppm, phase=self.traffic.flag.phase)

    def _take(self, step: Step) -> None:
        self.state = step.state
        if step.share_ppm is not None:
            self.traffic.split(step.share_ppm)
            self.largest = max(self.largest, step.share_ppm)


def test_a_harmless_version_is_not_rolled_back() -> None:
    runs = [Rollout(seed, Version()) for seed in range(2)]
    assert Status.ROLLED_BACK not in [run.go() for run in runs]
    assert all(run.largest >= 25 * PERCENT for run in runs)


def test_a_better_version_is_promoted() -> None:
    run = Rollout(11, Version(latency=0.9, errors=0.01, rating=4.3))
    assert run.go() is Status.SUCCEEDED, run.state.reason
    assert run.largest == PPM


def test_a_slow_version_ends_as_a_canary() -> None:
    runs = [Rollout(seed, Version(latency=1.3)) for seed in range(20, 23)]
    assert [run.go() for run in runs] == [Status.ROLLED_BACK] * 3
    assert {run.largest for run in runs} == {5 * PERCENT}
    assert all("latency_ms" in run.state.reason for run in runs)


def test_a_version_that_breaks_is_rolled_back_within_three_looks() -> None:
    """Before the burn-in is over, by its ceiling."""
    run = Rollout(31, Version(errors=0.5))
    assert run.go() is Status.ROLLED_BACK
    assert run.traffic.now - NOW <= 4 * MINUTE


@pytest.mark.slow
def test_how_often_each_is_wrong() -> None:
    """Of 60 harmless versions, at 5 %, none to seven are rolled back, or promoted by chance."""
    ends = Counter(Rollout(seed, Version()).go() for seed in range(100, 160))
    assert max(ends[Status.ROLLED_BACK], ends[Status.SUCCEEDED]) <= 7
    slow = [Rollout(seed, Version(latency=1.3)) for seed in range(200, 260)]
    assert {run.go() for run in slow} == {Status.ROLLED_BACK}
    assert sum(run.largest > 5 * PERCENT for run in slow) <= 1
