"""States, verdicts and times in words, each with its tone."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from tidegate.v1 import flag_pb2
from tidegate_server.analysis.decision import Verdict
from tidegate_server.dashboard.feeds import Freshness
from tidegate_server.domain.checks import percent
from tidegate_server.domain.experiments.assessment import HEALTHY
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import ENDED, State, Status, stage_of
from tidegate_server.experiment_text import Said, Tone, share_words, status_words
from tidegate_server.report_text import NOTHING, p_value


def health_words(state: State) -> Said:
    """Say whether the evidence of the last look can be built on."""
    if state.status in ENDED or state.verdict is None:
        return Said(NOTHING, Tone.MUTED)
    if state.verdict is Verdict.BREACH:
        return Said("harmful", Tone.BAD)
    return Said("healthy", Tone.GOOD) if state.verdict in HEALTHY else Said("in doubt", Tone.WARN)


def stage_words(plan: Plan, state: State) -> str:
    """Say where an experiment is among its stages."""
    if state.status in (Status.DRAFT, Status.PREFLIGHT):
        return NOTHING
    return f"{stage_of(plan, state).name}, {state.stage + 1} of {len(plan.stages)}"


def headline(experiment: Experiment) -> str:
    """Say in one sentence where an experiment stands."""
    plan, state = experiment.plan, experiment.state
    if state.status is Status.DRAFT:
        return f"A draft: {plan.treatment} is given nothing before somebody starts it."
    return f"{status_words(state.status).text.capitalize()}: {share_words(plan, state)}."


def ratio_words(p: float | None) -> Said:
    """Say whether units are split as promised. p: always valid."""
    if p is None:
        return Said("not known yet", Tone.MUTED)
    if p < 0.001:
        return Said(f"units are NOT split as promised (p {p_value(p)})", Tone.BAD)
    return Said(f"units are split as promised (p {p_value(p)})", Tone.GOOD)


def split_words(split: list[flag_pb2.SplitShare]) -> str:
    """Write a split on one line."""
    return ", ".join(f"{share.variant} {percent(share.share_ppm)}" for share in split)


def flag_words(flag: flag_pb2.Flag) -> Said:
    """Say whether a flag is on."""
    return Said("killed", Tone.BAD) if flag.killed else Said("on", Tone.GOOD)


def changed_at(flag: flag_pb2.Flag) -> datetime | None:
    """Return when a flag was last changed."""
    return flag.update_time.ToDatetime(UTC) if flag.HasField("update_time") else None


@dataclass(frozen=True, slots=True)
class Zone:
    """The time zone in which times are shown; it is named beside each of them."""

    name: str
    zone: tzinfo

    @classmethod
    def named(cls, name: str) -> "Zone":
        """Return the zone of this IANA name; UTC where there is none."""
        try:
            return cls(name, ZoneInfo(name)) if name not in ("", "UTC") else UTC_ZONE
        except (ValueError, OSError, KeyError):
            return UTC_ZONE

    @property
    def is_utc(self) -> bool:
        """Whether it is UTC."""
        return self.zone is UTC

    def stamp(self, time: datetime | None) -> str:
        """Write a moment to the second, such as 27 Nov 14:03:21 UTC."""
        if time is None:
            return NOTHING
        local = time.astimezone(self.zone)
        return f"{local.day} {local:%b %H:%M:%S} {local.tzname()}"

    def full(self, time: datetime) -> str:
        """Write a moment with its year."""
        local = time.astimezone(self.zone)
        return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


UTC_ZONE = Zone("UTC", UTC)


def freshness_words(fresh: list[Freshness], zone: Zone) -> Said:
    """Say whether what is shown is current: the worst of several."""
    problems = [each for each in fresh if each.problem]
    if problems:
        worst = min(problems, key=lambda each: each.heard or datetime.min.replace(tzinfo=UTC))
        since = f"stale since {zone.stamp(worst.heard)}" if worst.heard else "no data"
        return Said(f"{since}: {worst.problem}", Tone.BAD)
    if any(each.heard is None for each in fresh):
        return Said("connecting …", Tone.WARN)
    return Said("live", Tone.GOOD)
