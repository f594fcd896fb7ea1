"""Arbitrary plans, states and records: any that can be written down, and plans that are sound."""

from datetime import UTC, datetime, time, timedelta
from string import ascii_lowercase, digits
from typing import TypeVar

from hypothesis import strategies as st

from tidegate.model import PPM, FlagKey, VariantKey
from tidegate_server.analysis.decision import EffectRule, Verdict
from tidegate_server.domain.experiments.gate_checks import LONGEST_EVALUATION, LONGEST_HOOK
from tidegate_server.domain.experiments.plan import (
    ZERO,
    AfterHold,
    AfterLease,
    Ceiling,
    ChangeWindow,
    Evaluation,
    ExperimentKey,
    Goal,
    Hook,
    Lease,
    Margin,
    MetricName,
    Notification,
    NotificationFormat,
    Plan,
    Preflight,
    QualityRules,
    Rollback,
    RollbackMode,
    Stage,
    Threshold,
    Weekday,
)
from tidegate_server.domain.experiments.records import (
    Action,
    Decision,
    Experiment,
    Measured,
    NumberedDecision,
    Seen,
)
from tidegate_server.domain.experiments.state import Memory, State, Status
from tidegate_server.domain.metrics import Statistic

T = TypeVar("T")
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)

keys = st.text(ascii_lowercase + digits, min_size=1, max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
spans = st.timedeltas(ZERO, 366 * DAY)
texts = st.text(max_size=20)


def tuples(elements: st.SearchStrategy[T], most: int = 3) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(elements, max_size=most).map(tuple)


def seconds(least: timedelta, most: timedelta) -> st.SearchStrategy[timedelta]:
    return st.integers(least // SECOND, most // SECOND).map(lambda number: number * SECOND)


urls = st.builds(
    lambda scheme, host, path: f"{scheme}://{host}.example/{path}",
    st.sampled_from(["http", "https"]),
    keys,
    keys,
)
metrics = st.builds(MetricName, keys, st.sampled_from(Statistic))
hooks = st.builds(Hook, urls, st.timedeltas(SECOND, LONGEST_HOOK))
ceilings = st.builds(
    Ceiling,
    metric=metrics,
    limit=finite,
    floor=st.booleans(),
    window=st.integers(1, 8_640).map(lambda number: number * 10 * SECOND),
    least_events=st.integers(1, 1_000_000),
    broken=st.just(1),
    looks=st.integers(1, 20),
)
margins = st.builds(
    lambda metric, margin, more: Margin(metric, margin, margin + more),
    metrics,
    st.floats(0.001, 0.999),
    st.floats(0, 9),
)
thresholds = st.lists(
    st.builds(Threshold, keys, finite, st.booleans()),
    min_size=1,
    max_size=4,
    unique_by=lambda each: (each.metric, each.floor),
).map(tuple)
evaluations = st.builds(
    lambda thresholds, timeout, source: Evaluation(thresholds, timeout=timeout, **source),
    thresholds,
    st.timedeltas(SECOND, LONGEST_EVALUATION),
    urls.map(lambda url: {"url": url})
    | st.lists(keys, min_size=1, max_size=3).map(lambda words: {"command": tuple(words)}),
)
preflights = st.builds(
    Preflight,
    limit=seconds(10 * SECOND, DAY),
    health=st.sampled_from(["", "10.0.0.9:50051", "[::1]:50051", "model.example:443"]),
    evaluation=st.none() | evaluations,
)
windows = st.builds(
    ChangeWindow,
    days=st.lists(st.sampled_from(Weekday), min_size=1, unique=True).map(tuple),
    start=st.builds(time, st.integers(0, 11), st.integers(0, 59)),
    end=st.just(time()) | st.builds(time, st.integers(12, 23), st.integers(0, 59)),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
)
notifications = st.builds(
    Notification,
    urls,
    st.sampled_from(NotificationFormat),
    st.lists(st.sampled_from([each.value for each in Action]), max_size=3, unique=True).map(tuple),
)


@st.composite
def stages(draw: st.DrawFn) -> tuple[Stage, ...]:
    """Stages with rising shares, the first below 100 %."""
    made = []
    shares = sorted(draw(st.sets(st.integers(1, PPM), min_size=1, max_size=4)))
    if shares[0] == PPM:
        shares = [1, PPM]
    for number, share in enumerate(shares):
        decide = share < PPM and draw(st.booleans())
        limit = draw(st.none() | seconds(10 * SECOND, DAY))
        kinds = [each for each in AfterHold if not (decide and each is AfterHold.CONTINUE)]
        made.append(
            Stage(
                name=f"s{number}",
                share_ppm=share,
                bake=draw(seconds(ZERO, DAY)),
                min_units=draw(st.integers(0, 1_000_000)),
                passes=draw(st.integers(1, 1_000)),
                decide=decide,
                approval=draw(st.booleans()),
                hold_limit=limit,
                after_hold=draw(st.sampled_from(kinds)) if limit else AfterHold.HOLD,
                replicas=draw(st.booleans()),
                before=draw(tuples(hooks, 2)),
                after=draw(tuples(hooks, 2)),
            )
        )
    return tuple(made)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans that no check has anything against."""
    guardrails = st.lists(
        ceilings | margins,
        max_size=4,
        unique_by=lambda each: (each.metric, getattr(each, "window", None)),
    )
    return Plan(
        key=ExperimentKey(draw(keys)),
        flag=FlagKey(draw(keys)),
        control=VariantKey("v1"),
        treatment=VariantKey("v2"),
        stages=draw(stages()),
        goal=Goal(
            metric=draw(metrics),
            min_effect=draw(st.floats(0, 100)),
            rule=draw(st.sampled_from(EffectRule)),
            tolerance=draw(st.none() | st.floats(0, 100)),
            planned_units=draw(st.floats(1, 1e12)),
        ),
        guardrails=tuple(draw(guardrails)),
        quality=QualityRules(
            draw(st.floats(0.001, 0.499)), draw(st.floats(0, 1e9)), draw(seconds(10 * SECOND, DAY))
        ),
        preflight=draw(st.none() | preflights),
        watch=draw(spans),
        rollback=draw(
            st.builds(
                Rollback,
                mode=st.sampled_from(RollbackMode),
                step=seconds(10 * SECOND, DAY),
                cool_down=spans,
                retries=st.integers(0, 100),
            )
        ),
        lease=Lease(draw(seconds(10 * SECOND, DAY)), draw(st.sampled_from(AfterLease))),
        deadline=draw(st.none() | seconds(5 * DAY, 366 * DAY)),
        interval=draw(seconds(SECOND, 10 * SECOND)),
        description=draw(texts),
        labels=tuple(sorted(draw(st.dictionaries(keys, keys, max_size=3)).items())),
        change_windows=draw(tuples(windows)),
        notifications=draw(tuples(notifications)),
    )


memories = st.builds(Memory, st.integers(1, 9), moments, st.sampled_from(Status), texts)
states = st.builds(
    State,
    status=st.sampled_from(Status),
    stage=st.integers(0, 19),
    share_ppm=st.integers(0, PPM),
    attempt=st.integers(0, 100),
    started=st.none() | moments,
    first_phase=st.integers(0, 1 << 53),
    since=st.none() | moments,
    reason=texts,
    looked=st.none() | moments,
    verdict=st.none() | st.sampled_from(Verdict),
    healthy=st.booleans(),
    last_healthy=st.none() | moments,
    baked=spans,
    streak=st.integers(0, 1_000_000),
    waiting_since=st.none() | moments,
    ceilings=tuples(tuples(st.booleans(), 20)),
    least_p=st.floats(0, 1),
    resume=st.none() | st.sampled_from(Status),
    ending=st.none() | st.sampled_from(Status),
    memories=tuples(memories),
)
experiments = st.builds(
    Experiment, plans(), states, st.integers(1, 1 << 53), created=moments, updated=moments
)
measured = st.builds(
    Measured,
    metric=metrics.map(str),
    role=st.sampled_from(["goal", "guardrail", "ceiling"]),
    value=st.none() | finite,
    lower=st.none() | finite,
    upper=st.none() | finite,
    threshold=finite,
    tolerance=st.none() | finite,
)
decisions = st.builds(
    Decision,
    time=moments,
    action=st.sampled_from(Action),
    actor=texts,
    why=texts,
    before=states,
    after=states,
    stage=keys,
    phase=st.integers(0, 1 << 53),
    verdict=st.none() | st.sampled_from(Verdict),
    units=st.none() | finite,
    measured=tuples(measured),
)
numbered_decisions = st.builds(
    NumberedDecision, st.integers(1, 1 << 53), decisions, st.integers(0, 1 << 53)
)
looks = st.builds(
    Seen,
    time=moments,
    stage=keys,
    share_ppm=st.integers(0, PPM),
    verdict=st.sampled_from(Verdict),
    reasons=tuples(texts),
    units=st.none() | finite,
    information=st.none() | finite,
    least_p=st.floats(0, 1),
    measured=tuples(measured),
)
