"""What the overview shows."""

from collections.abc import Sequence

from tidegate.v1 import flag_pb2
from tidegate_server.dashboard import cells
from tidegate_server.dashboard.cells import Column, Row, Table
from tidegate_server.dashboard.environment import Environment, Experiments, Flags
from tidegate_server.dashboard.words import (
    Zone,
    changed_at,
    flag_words,
    freshness_words,
    health_words,
    stage_words,
)
from tidegate_server.domain.checks import percent
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import ENDED, Status
from tidegate_server.experiment_text import Tone, status_words, verdict_words
from tidegate_server.report_text import NOTHING

_URGENT = (Status.ROLLING_BACK, Status.AWAITING_APPROVAL, Status.HELD, Status.PAUSED)


def environments_table(environments: Sequence[Environment], zone: Zone) -> Table:
    """Lay out one line for each environment."""
    return Table(
        "Environments",
        [
            Column("environment"),
            Column("state"),
            Column("server"),
            Column("revision", number=True),
            Column("flags", number=True),
            Column("killed", number=True),
            Column("experiments running", number=True),
            Column("need somebody", number=True, help="Wait for approval, held, or paused"),
        ],
        [Row(each.name, _environment(each, zone)) for each in environments],
    )


def _environment(environment: Environment, zone: Zone) -> list[cells.Json]:
    flags, found = environment.flags.value, environment.experiments.value
    killed = sum(flag.killed for flag in flags.flags.values()) if flags else 0
    running = [each for each in (found or {}).values() if _runs(each)]
    urgent = sum(each.state.status in _URGENT for each in running)
    fresh = [feed.freshness for feed in environment.followed]
    return [
        cells.link(environment.name, f"/{environment.name}"),
        cells.said(freshness_words(fresh, zone)),
        cells.text(environment.api.address),
        cells.text(f"{flags.revision:,}" if flags else NOTHING),
        cells.text(f"{len(flags.flags):,}" if flags else NOTHING),
        cells.text(f"{killed:,}" if flags else NOTHING, Tone.BAD if killed else Tone.PLAIN),
        cells.text(NOTHING if found is None else f"{len(running):,}"),
        cells.text(
            NOTHING if found is None else f"{urgent:,}", Tone.WARN if urgent else Tone.PLAIN
        ),
    ]


def _runs(experiment: Experiment) -> bool:
    return experiment.state.status not in ENDED | {Status.DRAFT}


def experiments_table(name: str, known: Experiments | None, zone: Zone, flag: str = "") -> Table:
    """Lay out experiments, those that need somebody first. flag: only those on it; empty: all."""
    chosen = [each for each in (known or {}).values() if flag in ("", each.plan.flag)]
    return Table(
        "Experiments",
        [
            Column("experiment"),
            *([] if flag else [Column("flag")]),
            Column("state"),
            Column("stage"),
            Column("share", number=True, help="What the treatment has of the units"),
            Column("health", help="Whether the last look's evidence can be built on"),
            Column("verdict", help="What the last look said; of one that has ended, why"),
            Column("since"),
        ],
        [
            _experiment(name, each, zone, with_flag=not flag)
            for each in sorted(chosen, key=_urgency)
        ],
        "No experiment yet. Write a plan, then start it:",
        "tidegate experiment start plan.yaml",
    )


def _urgency(experiment: Experiment) -> tuple[int, float, str]:
    status, since = experiment.state.status, experiment.state.since
    if status in _URGENT:
        rank = _URGENT.index(status)
    else:
        rank = 4 if _runs(experiment) else 5 if status is Status.DRAFT else 6
    return rank, -since.timestamp() if since else 0.0, experiment.plan.key


def _experiment(name: str, experiment: Experiment, zone: Zone, *, with_flag: bool) -> Row:
    plan, state = experiment.plan, experiment.state
    status = status_words(state.status)
    urgent, ended = state.status in _URGENT, state.status in ENDED
    return Row(
        plan.key,
        [
            cells.link(plan.key, f"/{name}/experiments/{plan.key}"),
            *([cells.link(plan.flag, f"/{name}/flags/{plan.flag}")] if with_flag else []),
            cells.pill(status),
            cells.text(stage_words(plan, state)),
            cells.text(percent(state.share_ppm)),
            cells.said(health_words(state)),
            cells.text(state.reason) if ended else cells.said(verdict_words(state.verdict)),
            cells.moment(state.since or experiment.created, zone),
        ],
        tone=status.tone if urgent else Tone.PLAIN,
    )


def flags_table(name: str, known: Flags | None, zone: Zone) -> Table:
    """Lay out all flags by key."""
    return Table(
        "Flags",
        [
            Column("flag"),
            Column("state"),
            Column("split"),
            Column("default"),
            Column("rules", number=True),
            Column("changed"),
            Column("revision", number=True),
        ],
        [_flag(name, flag, zone) for flag in known.flags.values()] if known else [],
        "No flag yet. Describe one in a file, then apply it:",
        "tidegate flag apply flag.yaml",
    )


def _flag(name: str, flag: flag_pb2.Flag, zone: Zone) -> Row:
    return Row(
        flag.key,
        [
            cells.link(flag.key, f"/{name}/flags/{flag.key}"),
            cells.pill(flag_words(flag)),
            cells.split(flag.split, [variant.key for variant in flag.variants]),
            cells.text(flag.default_variant),
            cells.text(f"{len(flag.rules):,}"),
            cells.moment(changed_at(flag), zone, ago=False),
            cells.text(f"{flag.revision:,}"),
        ],
        tone=Tone.BAD if flag.killed else Tone.PLAIN,
    )
