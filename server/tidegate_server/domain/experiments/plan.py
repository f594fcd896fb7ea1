"""Plans: what an experiment shall do, written down before it starts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time, timedelta
from enum import IntEnum, StrEnum
from typing import NewType

from tidegate.model import PPM, FlagKey, SplitShare, VariantKey
from tidegate_server.analysis.looks import BURN_IN, EffectRule
from tidegate_server.domain.metrics import Statistic

ExperimentKey = NewType("ExperimentKey", str)

ZERO = timedelta()


class AfterHold(StrEnum):
    """What happens when a stage has been held for as long as it may.

    HOLD: nothing; a person decides. ROLL_BACK: back to control. CONTINUE: on to the next stage,
    though units or passes are missing; never on evidence that can't be trusted.
    """

    HOLD = "hold"
    ROLL_BACK = "roll back"
    CONTINUE = "continue"


class AfterLease(StrEnum):
    """What happens when no healthy evidence has come for as long as the lease.

    FREEZE: the split stays until there is evidence again. CONTROL: back to control.
    """

    FREEZE = "freeze"
    CONTROL = "control"


class RollbackMode(StrEnum):
    """INSTANT: to 0 % at once. STEPWISE: through the shares of the earlier stages."""

    INSTANT = "instant"
    STEPWISE = "stepwise"


@dataclass(frozen=True, slots=True)
class MetricName:
    """What of which outcome: `rating` is its mean, `latency_ms.p99` a quantile."""

    outcome: str
    statistic: Statistic = Statistic.MEAN

    def __str__(self) -> str:
        mean = self.statistic is Statistic.MEAN
        return self.outcome if mean else f"{self.outcome}.{self.statistic}"


def metric_name(text: str) -> MetricName:
    """Read what `str` of a metric's name writes; an outcome's name may have dots."""
    outcome, dot, last = text.rpartition(".")
    if dot and last in {each.value for each in Statistic}:
        return MetricName(outcome, Statistic(last))
    return MetricName(text)


@dataclass(frozen=True, slots=True)
class Goal:
    """The metric that must improve.

    min_effect: relative, >= 0; how `rule` reads it is said there. tolerance: >= 0, from how much
    worse, relatively, it rolls back; None: never. planned_units: of an evenly split test, > 0, at
    which intervals are tightest; undecided there is FLAT.
    """

    metric: MetricName
    min_effect: float = 0.0
    rule: EffectRule = EffectRule.BOUND
    tolerance: float | None = None
    planned_units: float = 10_000


@dataclass(frozen=True, slots=True)
class Margin:
    """A guardrail beside the control: not worse by more than a part `margin`, in (0, 1).

    tolerance: >= margin; harm that is shown to exceed it rolls back. What lies between the two
    keeps from promoting only.
    """

    metric: MetricName
    margin: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A guardrail by itself: the treatment's figure over the last `window` stays within a limit.

    limit: in the outcome's unit; the most that is allowed, or the least if `floor`; it must be
    exceeded by more than chance may do (`ceilings`). least_events:
    with fewer in the window a look counts for nothing. broken, looks: it is broken if so many of so
    many last looks found it so.
    """

    metric: MetricName
    limit: float
    floor: bool = False
    window: timedelta = timedelta(minutes=2)
    least_events: int = 50
    broken: int = 2
    looks: int = 3


@dataclass(frozen=True, slots=True)
class QualityRules:
    """When the evidence counts for something.

    alpha: of each promise of the comparisons, in (0, 0.5). burn_in: units in the smaller arm, >= 0,
    below which only ceilings act. silence: without an event for so long in an arm that has a share,
    a look found no data.
    """

    alpha: float = 0.05
    burn_in: float = BURN_IN
    silence: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook that must answer 2xx: it is asked before, or after, a stage.

    url: http or https. timeout: of one attempt, in (0, 10 min]. What is answered 425, 429 or 5xx,
    or not at all, is asked again until the stage's limits end it; any other answer is a no.
    """

    url: str
    timeout: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Stage:
    """A share, and what must be seen before it is left.

    share_ppm: of the treatment, in (0, PPM]; control gets the rest. bake: for how long healthy
    evidence must have been seen. min_units: of each arm with a share, in this stage. passes: looks
    without fault in a row, >= 1. decide: the goal and all margins must be shown. approval: somebody
    must approve of leaving it. hold_limit, after_hold: for how long it may stand still, and what
    comes then. replicas: the treatment gets its share once the same share of the flag's replicas,
    rounded up, serves it. before: what must agree before the share is given; after: before the
    stage is left.
    """

    name: str
    share_ppm: int
    bake: timedelta = ZERO
    min_units: int = 0
    passes: int = 1
    decide: bool = False
    approval: bool = False
    hold_limit: timedelta | None = None
    after_hold: AfterHold = AfterHold.HOLD
    replicas: bool = False
    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a metric of an evaluation must keep: at most `limit`, or at least if `floor`."""

    metric: str
    limit: float
    floor: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation set: what gives its metrics, as a JSON object of numbers, and their limits.

    Either command (program and arguments; run by the controller, which must allow it) or url
    (http or https; asked with GET). timeout: in (0, 1 day].
    """

    thresholds: tuple[Threshold, ...]
    command: tuple[str, ...] = ()
    url: str = ""
    timeout: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Preflight:
    """Checks of the new version before it gets any traffic.

    limit: by when they must be through. health: host:port at which the new version must answer
    SERVING to gRPC's health check; empty: not asked. evaluation: None: none.
    """

    limit: timedelta = timedelta(minutes=10)
    health: str = ""
    evaluation: Evaluation | None = None


@dataclass(frozen=True, slots=True)
class Rollback:
    """How traffic returns to control.

    step: how long each share of a stepwise rollback lasts. cool_down: from the end of a rollback
    until a retry is allowed. retries: how many there may be, each asked for by a person: nothing is
    retried by itself.
    """

    mode: RollbackMode = RollbackMode.INSTANT
    step: timedelta = timedelta(minutes=1)
    cool_down: timedelta = ZERO
    retries: int = 3


@dataclass(frozen=True, slots=True)
class Lease:
    """How long the treatment keeps its traffic without healthy evidence, and what comes then."""

    duration: timedelta = timedelta(minutes=10)
    then: AfterLease = AfterLease.FREEZE


class Weekday(IntEnum):
    """A day of the week, as `datetime.weekday` counts."""

    MON, TUE, WED, THU, FRI, SAT, SUN = range(7)


@dataclass(frozen=True, slots=True)
class ChangeWindow:
    """When the treatment's share may rise: on these days in [start, end), local time of `zone`.

    days: at least one. end: after start, or 00:00 for the end of the day. zone: an IANA name.
    Falling is always allowed, and so is what a person asks for.
    """

    days: tuple[Weekday, ...]
    start: time
    end: time
    zone: str = "UTC"


class NotificationFormat(StrEnum):
    """JSON: one object, documented in docs/experiments.md. SLACK: an incoming webhook's message."""

    JSON = "json"
    SLACK = "slack"


@dataclass(frozen=True, slots=True)
class Notification:
    """Where decisions are told. actions: only these; empty: all (names as in `records.Action`)."""

    url: str
    format: NotificationFormat = NotificationFormat.JSON
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Control against treatment on one flag, through stages.

    watch: for how long ceilings are watched after the treatment has everything. deadline: from the
    start until the treatment must have everything; None: none. interval: between two looks.
    change_windows: when shares may rise; empty: always.
    """

    key: ExperimentKey
    flag: FlagKey
    control: VariantKey
    treatment: VariantKey
    stages: tuple[Stage, ...]
    goal: Goal | None = None
    guardrails: tuple[Margin | Ceiling, ...] = ()
    quality: QualityRules = QualityRules()
    preflight: Preflight | None = None
    watch: timedelta = ZERO
    rollback: Rollback = Rollback()
    lease: Lease = Lease()
    deadline: timedelta | None = None
    interval: timedelta = timedelta(seconds=10)
    description: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    change_windows: tuple[ChangeWindow, ...] = ()
    notifications: tuple[Notification, ...] = ()

    @property
    def ceilings(self) -> tuple[Ceiling, ...]:
        """The guardrails that are absolute, in order."""
        return tuple(each for each in self.guardrails if isinstance(each, Ceiling))

    @property
    def margins(self) -> tuple[Margin, ...]:
        """The guardrails beside the control, in order."""
        return tuple(each for each in self.guardrails if isinstance(each, Margin))

    @property
    def compared(self) -> tuple[MetricName, ...]:
        """The metrics that are compared with the control: the goal, and those with a margin."""
        goal = (self.goal.metric,) if self.goal else ()
        return *goal, *(each.metric for each in self.margins)

    @property
    def compares(self) -> bool:
        """Whether anything is compared with the control."""
        return bool(self.compared)

    def split(self, share_ppm: int) -> tuple[SplitShare, SplitShare]:
        """Return the flag's split in which the treatment has `share_ppm`, in [0, PPM]."""
        control = SplitShare(self.control, PPM - share_ppm)
        return control, SplitShare(self.treatment, share_ppm)

    def metrics(self) -> Iterator[MetricName]:
        """Yield the metrics that are judged, each once."""
        named = [each.metric for each in self.guardrails]
        yield from dict.fromkeys([self.goal.metric, *named] if self.goal else named)
