"""What an experiment's page shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from tidegate import wire
from tidegate.model import Direction, Metric
from tidegate.v1 import flag_pb2
from tidegate_server.analysis.quality import ALPHA
from tidegate_server.dashboard import cells, charts
from tidegate_server.dashboard.cells import Column, Row, Table
from tidegate_server.dashboard.charts import Bounded, Limit, Line, Mark, Options
from tidegate_server.dashboard.words import Zone, ratio_words
from tidegate_server.domain.checks import percent
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.plan import (
    ChangeWindow,
    MetricName,
    Plan,
    Weekday,
)
from tidegate_server.domain.experiments.records import Experiment, Measured, NumberedDecision, Seen
from tidegate_server.domain.experiments.state import ENDED, State, Status
from tidegate_server.domain.metrics import direction_of
from tidegate_server.experiment_text import (
    CEILING,
    GOAL,
    Said,
    figure_words,
    limit_words,
    status_words,
    verdict_words,
    waits_for,
)
from tidegate_server.report_text import ERROR, NOTHING

MOST_DECISIONS = 200

GUARDRAIL = "guardrail"
"""A role of what was measured, beside GOAL and CEILING."""


@dataclass(frozen=True, slots=True)
class StageView:
    """One piece of the bar of stages. place: done, now or ahead. lines: what it still lacks."""

    name: str
    place: str
    said: Said
    lines: tuple[Said, ...] = ()


def stages(experiment: Experiment) -> list[StageView]:
    """Return the bar: preflight, the stages, and the watch, as far as the plan has them."""
    plan, state = experiment.plan, experiment.state
    here = _here(plan, state)
    pieces = [
        *([("preflight", "checks before any traffic")] if plan.preflight else []),
        *((stage.name, percent(stage.share_ppm)) for stage in plan.stages),
        *([("watch", f"100 % for {format_duration(plan.watch)}")] if plan.watch else []),
    ]
    lines = tuple(waits_for(plan, state))
    views = []
    for place, (name, text) in enumerate(pieces):
        if place < here:
            views.append(StageView(name, "done", Said(text)))
        elif place == here and state.status not in (Status.DRAFT, Status.SUCCEEDED):
            status = status_words(state.status)
            said = Said(f"{text}, {status.text}", status.tone)
            views.append(StageView(name, "now", said, lines))
        else:
            views.append(StageView(name, "ahead", Said(text)))
    return views


def _here(plan: Plan, state: State) -> int:
    """Return the place of the present piece in the bar; beyond its end where all is done."""
    before = 1 if plan.preflight else 0
    status = state.resume if state.status is Status.PAUSED and state.resume else state.status
    if status in (Status.DRAFT, Status.PREFLIGHT):
        return 0
    if status is Status.WATCHING:
        return before + len(plan.stages)
    if status is Status.SUCCEEDED:
        return before + len(plan.stages) + 1
    return before + state.stage


def reasons(experiment: Experiment, looks: Sequence[Seen]) -> list[str]:
    """Return what the last look said of why the experiment stands where it does."""
    if experiment.state.status in ENDED | {Status.DRAFT} or not looks:
        return []
    return list(looks[-1].reasons)


@dataclass(frozen=True, slots=True)
class Judged:
    """A metric that the plan judges. asked: of it, without figures; limits: to its figure."""

    asked: Measured
    limits: tuple[Limit, ...]

    @property
    def label(self) -> str:
        """Say what is judged, and what is asked of it."""
        return f"{self.asked.role} {self.asked.metric}: {limit_words(self.asked)}"


def judged(plan: Plan, flag: flag_pb2.Flag | None) -> list[Judged]:
    """Return what the plan judges, in its order. flag: tells which way its metrics are better."""
    metrics = wire.flag_from_message(flag).metrics if flag is not None else ()
    found = []
    if plan.goal is not None:
        goal, sign = plan.goal, _sign(plan.goal.metric, metrics)
        wanted = Limit("wanted", sign * goal.min_effect, harm=False)
        harm = [] if goal.tolerance is None else [_harm(-sign * goal.tolerance)]
        asked = _asked(goal.metric, GOAL, goal.min_effect, goal.tolerance)
        found.append(Judged(asked, (wanted, *harm)))
    for each in plan.margins:
        sign = _sign(each.metric, metrics)
        margin = Limit("margin", -sign * each.margin, harm=False)
        asked = _asked(each.metric, GUARDRAIL, each.margin, each.tolerance)
        found.append(Judged(asked, (margin, _harm(-sign * each.tolerance))))
    for ceiling in plan.ceilings:
        limit = Limit("limit", ceiling.limit, harm=True)
        found.append(Judged(_asked(ceiling.metric, CEILING, ceiling.limit), (limit,)))
    return found


def _harm(value: float) -> Limit:
    return Limit("rolls back", value, harm=True)


def _asked(
    metric: MetricName, role: str, threshold: float, tolerance: float | None = None
) -> Measured:
    return Measured(str(metric), role, None, None, None, threshold, tolerance)


def _sign(metric: MetricName, metrics: Sequence[Metric]) -> int:
    """Return 1 where more is better, and -1 where less is."""
    return -1 if direction_of(metric.outcome, metrics) is Direction.LOWER else 1


def measured_of(each: Judged, measured: Sequence[Measured]) -> Measured:
    """Return what was measured of a judged metric; what is asked of it where nothing was."""
    asked = each.asked
    names = (asked.metric, asked.role, asked.threshold)
    same = (found for found in measured if (found.metric, found.role, found.threshold) == names)
    return next(same, asked)


def evidence_words(each: Judged, looks: Sequence[Seen]) -> str:
    """Say what the last look knows of a metric."""
    return f"Now: {figure_words(measured_of(each, looks[-1].measured if looks else ()))}"


def evidence_chart(each: Judged, looks: Sequence[Seen], zone: Zone) -> Options:
    """Return a metric over all looks, with its bounds and its limits."""
    found = [(look.time, measured_of(each, look.measured)) for look in looks]
    points = [Bounded(time, known.value, known.lower, known.upper) for time, known in found]
    in_percent = each.asked.role != CEILING or each.asked.metric == ERROR
    return charts.sequence_chart(points, each.limits, utc=zone.is_utc, percent=in_percent)


RATIO_LABEL = f"Sample ratio: least p-value of this phase; below {ALPHA:g} is an alarm"


def ratio_chart(looks: Sequence[Seen], zone: Zone) -> Options:
    """Return the sample ratio's least p-value over all looks."""
    line = Line("p-value", [(look.time, look.least_p) for look in looks])
    return charts.level_chart(line, Limit("alarm", ALPHA, harm=True), utc=zone.is_utc)


def ratio_said(experiment: Experiment, looks: Sequence[Seen]) -> Said:
    """Say whether units are split as promised."""
    return ratio_words(experiment.state.least_p if looks else None)


def decisions_table(decisions: Sequence[NumberedDecision], zone: Zone) -> Table:
    """Lay out the log, the latest first; each line opens to the figures that led to it."""
    return Table(
        "Decisions, the latest first",
        [
            Column("no."),
            Column("when"),
            Column("decision"),
            Column("by"),
            Column("share", number=True, help="What the treatment had afterwards"),
            Column("why"),
        ],
        [_decision(each, zone) for each in reversed(decisions[-MOST_DECISIONS:])],
        "Nothing was decided yet.",
    )


def _decision(numbered: NumberedDecision, zone: Zone) -> Row:
    decision = numbered.decision
    before, after = decision.before, decision.after
    said = status_words(after.status)
    share = percent(after.share_ppm)
    if before.share_ppm != after.share_ppm:
        share = f"{percent(before.share_ppm)} → {share}"
    return Row(
        str(numbered.number),
        [
            cells.text(f"{numbered.number:,}"),
            cells.moment(decision.time, zone),
            cells.pill(Said(decision.action, said.tone)),
            cells.text(decision.actor),
            cells.text(share),
            cells.text(decision.why),
        ],
        more=_figures(numbered),
    )


def _figures(numbered: NumberedDecision) -> Table:
    decision = numbered.decision
    units = NOTHING if decision.units is None else f"{decision.units:,.0f}"
    verdict = NOTHING if decision.verdict is None else verdict_words(decision.verdict).text
    revision = f"{numbered.revision:,}" if numbered.revision else "the split was not changed"
    facts = [
        ("from", status_words(decision.before.status).text),
        ("to", status_words(decision.after.status).text),
        ("stage", decision.stage or NOTHING),
        ("phase", f"{decision.phase:,}" if decision.phase else "the flag was gone"),
        ("verdict", verdict),
        ("units of the smaller arm", units),
        ("revision", revision),
    ]
    return Table(
        f"Figures of decision {numbered.number}",
        [
            Column("figure"),
            Column("value"),
            Column("asked"),
        ],
        [
            *(Row(name, [cells.text(name), cells.text(text)]) for name, text in facts),
            *(
                Row(
                    f"{place} {each.metric}",
                    [
                        cells.text(f"{each.role} {each.metric}"),
                        cells.text(figure_words(each)),
                        cells.text(limit_words(each)),
                    ],
                )
                for place, each in enumerate(decision.measured)
            ),
        ],
    )


def split_marks(decisions: Sequence[NumberedDecision]) -> list[Mark]:
    """Return when the treatment's share was changed."""
    return [
        Mark(each.decision.time, percent(each.decision.after.share_ppm))
        for each in decisions
        if each.revision
    ]


def attempts_table(state: State, zone: Zone) -> Table:
    """Lay out the attempts that failed."""
    return Table(
        "Failed attempts",
        [Column("attempt"), Column("when"), Column("end"), Column("why")],
        [
            Row(
                str(each.attempt),
                [
                    cells.text(str(each.attempt)),
                    cells.moment(each.time, zone),
                    cells.pill(status_words(each.status)),
                    cells.text(each.why),
                ],
            )
            for each in state.memories
        ],
        "No attempt has failed.",
    )


def plan_facts(plan: Plan, started: datetime | None, zone: Zone) -> list[tuple[str, str]]:
    """Return what the plan says beside its stages and metrics."""
    facts = [
        ("control", plan.control),
        ("treatment", plan.treatment),
        ("started", zone.stamp(started)),
        ("a look every", format_duration(plan.interval)),
        ("rollback", _rollback(plan)),
        (
            "without healthy evidence",
            f"after {format_duration(plan.lease.duration)}: {plan.lease.then}",
        ),
    ]
    if plan.deadline is not None:
        facts.append(("deadline", f"{format_duration(plan.deadline)} after the start"))
    if plan.change_windows:
        facts.append(("share rises only", "; ".join(map(_window, plan.change_windows))))
    if plan.notifications:  # addresses of webhooks may hold secrets: the host says enough
        hosts = [urlsplit(each.url).hostname or NOTHING for each in plan.notifications]
        facts.append(("told to", ", ".join(dict.fromkeys(hosts))))
    return [*facts, *(plan.labels)]


def _rollback(plan: Plan) -> str:
    rollback = plan.rollback
    cool_down = f", cool-down {format_duration(rollback.cool_down)}" if rollback.cool_down else ""
    return f"{rollback.mode}{cool_down}"


def _window(window: ChangeWindow) -> str:
    days = ", ".join(Weekday(day).name.title() for day in window.days)
    return f"{days} {window.start:%H:%M}–{window.end:%H:%M} {window.zone}"
