"""What a flag file says, as pydantic models."""

from typing import Any, Literal

from pydantic import Field, model_validator

from tidegate.model import PPM
from tidegate_server.cli.clause_document import Document, WhenItem
from tidegate_server.cli.field_types import (
    Boolean,
    Key,
    Keys,
    Label,
    LongText,
    PositiveShare,
    Share,
    UnitId,
)


class RuleDocument(Document):
    """Serves one variant, or a split of its own, to the units for which all conditions hold."""

    name: Label
    when: list[WhenItem] = Field(min_length=1, max_length=100)
    serve: Key | None = None
    split: dict[Key, Share] | None = None

    @model_validator(mode="after")
    def _serves_something(self) -> "RuleDocument":
        if (self.serve is None) == (self.split is None):
            number = "nothing" if self.serve is None else "both `serve` and `split`"
            raise ValueError(
                f"names {number}: give either serve: VARIANT or split: {{VARIANT: 50%, …}}"
            )
        return self


class LayerDocument(Document):
    """The flag's place in a layer."""

    name: Key
    share: PositiveShare


class PrerequisiteDocument(Document):
    """What another flag must give the unit."""

    flag: Key
    in_: Keys = Field(alias="in", max_length=100)


class MetricDocument(Document):
    """How outcomes of one name are read."""

    direction: Literal["lower", "higher", "unknown"]


class FlagDocument(Document):
    """A flag file. Shares are in parts per million here."""

    flag: Key
    description: LongText = ""
    default: Key
    variants: dict[Key, dict[str, Any]] = Field(min_length=1, max_length=100)
    split: dict[Key, Share] | None = None
    enrolment: Share = PPM
    layer: LayerDocument | None = None
    unit: Label | None = None
    prerequisites: list[PrerequisiteDocument] = Field([], max_length=20)
    rules: list[RuleDocument] = Field([], max_length=100)
    overrides: dict[UnitId, Key] = Field({}, max_length=1_000)
    killed: Boolean | None = None
    ignore_holdout: Boolean = False
    salt: Label | None = None
    metrics: dict[Key, MetricDocument] = Field({})
