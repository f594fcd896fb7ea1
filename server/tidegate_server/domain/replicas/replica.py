"""What is known of a replica: what it says itself, and what was ordered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NewType

from tidegate.model import FlagKey, VariantKey

ReplicaId = NewType("ReplicaId", str)

MISSED_HEARTBEATS = 3
"""A replica that was silent for so many intervals is gone."""

LONGEST_COOL_OFF = timedelta(hours=1)

NONE = VariantKey("")
"""Stands for no variant."""

UNSET = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for a time that the store will set."""


class ReplicaState(StrEnum):
    """What a replica says that it is doing; DRAINING: it is about to end."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class Step(StrEnum):
    """How far a change of variant has come. DRAIN: no new traffic. LOAD: it was told to load."""

    DRAIN = "drain"
    LOAD = "load"


@dataclass(frozen=True, slots=True)
class Order:
    """A replica shall serve `variant`. since: of the step."""

    variant: VariantKey
    step: Step
    since: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """A replica could not load `variant`. tries: in a row, >= 1. time, problem: of the last."""

    variant: VariantKey
    tries: int
    time: datetime
    problem: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a replica says with a heartbeat. variant: that it has loaded. load: finite, >= 0."""

    state: ReplicaState
    variant: VariantKey = NONE
    load: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Replica:
    """One running model server.

    capacity: requests that it may have under way, 0: not known. driver_url: where it is told to
    load; "": in the answers to its heartbeats. fixed: it can't load another variant. registered,
    heard: when it was, by the store's clock. drained: by a person. order: None: it serves what it
    has. failures: one for each variant that it could not load. spared: it is silent, but perhaps
    only because nobody could hear it; never stored.
    """

    id: ReplicaId
    flag: FlagKey
    address: str
    report: Report
    registered: datetime = UNSET
    heard: datetime = UNSET
    capacity: int = 0
    driver_url: str = ""
    fixed: bool = False
    drained: bool = False
    order: Order | None = None
    failures: tuple[Failure, ...] = ()
    spared: bool = False

    @property
    def variant(self) -> VariantKey:
        """The variant that it has loaded; NONE for none."""
        return self.report.variant

    @property
    def takes_traffic(self) -> bool:
        """Whether it may be given requests, as long as it lives."""
        ready = self.report.state is ReplicaState.READY and self.variant != NONE
        return ready and not self.drained and self.order is None

    def failure(self, variant: VariantKey) -> Failure | None:
        """Return what went wrong when it last loaded a variant; None: nothing."""
        return next((each for each in self.failures if each.variant == variant), None)


@dataclass(frozen=True, slots=True)
class Fleet:
    """All replicas of an environment, as of one moment. now: by the store's clock."""

    now: datetime
    replicas: Mapping[ReplicaId, Replica]

    def of(self, flag: FlagKey) -> list[Replica]:
        """Return a flag's replicas."""
        return [each for each in self.replicas.values() if each.flag == flag]


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient one is with replicas.

    heartbeat: interval in which they are heard. drain: for how long requests under way are waited
    for. load: by when an ordered variant must be served. cool_off: until a variant that could not
    be loaded is tried there again; doubled with each failure.
    """

    heartbeat: timedelta = timedelta(seconds=5)
    drain: timedelta = timedelta(minutes=1)
    load: timedelta = timedelta(minutes=10)
    cool_off: timedelta = timedelta(minutes=5)

    @property
    def silence(self) -> timedelta:
        """A replica that was silent for longer is gone."""
        return MISSED_HEARTBEATS * self.heartbeat

    def lives(self, replica: Replica, now: datetime) -> bool:
        """Return whether a replica has been heard of lately."""
        return replica.spared or now - replica.heard <= self.silence

    def may_load(self, replica: Replica, variant: VariantKey, now: datetime) -> bool:
        """Return whether a replica may be told to load a variant, for all that went wrong."""
        failure = replica.failure(variant)
        if failure is None:
            return True
        longest = max(self.cool_off, LONGEST_COOL_OFF)
        doubled: timedelta = self.cool_off * (1 << min(failure.tries - 1, 16))
        return now - failure.time >= min(doubled, longest)


def change_in_words(replica: Replica) -> str:
    """Say how a replica's variant is being changed; "": it is not."""
    order = replica.order
    if order is None:
        return ""
    drains = order.step is Step.DRAIN
    return f"drains before it loads {order.variant}" if drains else f"loads {order.variant}"


def problem_in_words(replica: Replica) -> str:
    """Say what is wrong with a replica; "": nothing."""
    said = [replica.report.problem] if replica.report.problem else []
    failures = sorted(replica.failures, key=lambda each: each.time)
    return "; ".join([*said, *(f"{each.variant}: {each.problem}" for each in failures)])
