"""What an experiment file says, as pydantic models. What is None takes the plan's default."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tidegate_server.cli.clause_document import Document
from tidegate_server.cli.experiment_fields import (
    Amount,
    Approval,
    Count,
    Day,
    Duration,
    EndOfDay,
    Looks,
    Metric,
    TimeOfDay,
    as_url,
)
from tidegate_server.cli.field_types import (
    Boolean,
    Key,
    Label,
    LongText,
    Share,
    as_list,
)


class GoalDocument(Document):
    """The metric that must improve."""

    metric: Metric
    min_effect: Amount | None = None
    rule: Literal["bound", "point"] | None = None
    tolerance: Amount | None = None
    planned_units: Amount | None = None


class GuardrailDocument(Document):
    """An absolute ceiling (`max`, or `min`), or a margin beside the control."""

    metric: Metric
    max: Amount | None = None
    min: Amount | None = None
    window: Duration | None = None
    min_events: Count | None = None
    looks: Looks | None = None
    margin: Amount | None = None
    tolerance: Amount | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "GuardrailDocument":
        given = [name for name in ("max", "min", "margin") if getattr(self, name) is not None]
        if len(given) != 1:
            named = " and ".join(given) or "no limit"
            raise ValueError(f"names {named}: give one of max, min (a ceiling) and margin")
        foreign = ("window", "min_events", "looks") if given == ["margin"] else ("tolerance",)
        for name in foreign:
            if getattr(self, name) is not None:
                raise ValueError(f"has both {given[0]} and {name}: {name} goes with another kind")
        return self


class QualityDocument(Document):
    """When the evidence counts for something."""

    alpha: Amount | None = None
    burn_in: Count | None = None
    silence: Duration | None = None


class ThresholdDocument(Document):
    """What a metric of an evaluation must keep: at least `min`, at most `max`."""

    min: Amount | None = None
    max: Amount | None = None

    @model_validator(mode="after")
    def _a_limit(self) -> "ThresholdDocument":
        if self.min is None and self.max is None:
            raise ValueError("names no limit: give min, max or both")
        return self


class EvaluationDocument(Document):
    """An evaluation set: a command or a URL that gives metrics, and what they must keep."""

    command: list[LongText] | None = None
    url: LongText | None = None
    timeout: Duration | None = None
    metrics: dict[Label, ThresholdDocument]


class PreflightDocument(Document):
    """Checks before any traffic."""

    limit: Duration | None = None
    health: LongText | None = None
    evaluation: EvaluationDocument | None = None


class HookDocument(Document):
    """A webhook that must agree; its URL may stand for it."""

    url: LongText
    timeout: Duration | None = None


Hooks = Annotated[list[Annotated[HookDocument, BeforeValidator(as_url)]], BeforeValidator(as_list)]


class StageDocument(Document):
    """A share, and what must be seen before it is left."""

    name: Key
    share: Share | None = None
    ratio: Share | None = None
    bake: Duration | None = None
    min_units: Count | None = None
    passes: Count | None = None
    decide: Boolean | None = None
    approval: Approval | None = None
    hold_limit: Duration | None = None
    then: Literal["hold", "roll back", "continue"] | None = None
    before: Hooks = Field([])
    after: Hooks = Field([])

    @model_validator(mode="after")
    def _one_share(self) -> "StageDocument":
        if (self.share is None) is (self.ratio is None):
            given = "neither share nor ratio" if self.share is None else "both share and ratio"
            raise ValueError(
                f"names {given}: give the share of units, or the ratio of replicas that it follows"
            )
        return self


class RollbackDocument(Document):
    """How traffic returns to control."""

    mode: Literal["instant", "stepwise"] | None = None
    step: Duration | None = None
    cool_down: Duration | None = None
    retries: Count | None = None


class LeaseDocument(Document):
    """How long the treatment keeps its traffic without healthy evidence."""

    duration: Duration | None = None
    then: Literal["freeze", "control"] | None = None


class ChangeWindowDocument(Document):
    """When the treatment's share may rise."""

    days: Annotated[list[Day], BeforeValidator(as_list)]
    from_: TimeOfDay = Field(alias="from")
    to: EndOfDay
    zone: LongText | None = None


class NotificationDocument(Document):
    """Where decisions are told."""

    url: LongText
    format: Literal["json", "slack"] | None = None
    on: Annotated[list[LongText], BeforeValidator(as_list)] = Field([])


class ExperimentDocument(Document):
    """An experiment file."""

    experiment: Key
    description: LongText | None = None
    labels: dict[Key, Label] = Field({}, max_length=20)
    flag: Key
    control: Key
    treatment: Key
    template: Literal["gradual", "ab", "production"] | None = None
    goal: GoalDocument | None = None
    guardrails: list[GuardrailDocument] = Field([], max_length=50)
    quality: QualityDocument | None = None
    preflight: PreflightDocument | None = None
    stages: list[StageDocument] | None = Field(None, min_length=1, max_length=20)
    watch: Duration | None = None
    rollback: RollbackDocument | None = None
    lease: LeaseDocument | None = None
    deadline: Duration | None = None
    interval: Duration | None = None
    change_windows: list[ChangeWindowDocument] = Field([])
    notifications: list[NotificationDocument] = Field([])
