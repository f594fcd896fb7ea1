"""What a flag file says, as pydantic models."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tidegate_server.cli.field_types import (
    Always,
    Boolean,
    Key,
    Label,
    LongText,
    Numbers,
    Scalars,
    Share,
    Texts,
    UnitId,
)


class Document(BaseModel):
    """A mapping of a flag file: a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClauseDocument(Document):
    """One condition: an attribute, one operator with its values, and perhaps `negate`."""

    attribute: Label
    in_: Scalars | None = Field(None, alias="in")
    not_in: Scalars | None = None
    equals: Scalars | None = Field(None, max_length=1)
    not_equals: Scalars | None = Field(None, max_length=1)
    contains: Texts | None = None
    starts_with: Texts | None = None
    ends_with: Texts | None = None
    less: Numbers | None = None
    less_or_equal: Numbers | None = None
    greater: Numbers | None = None
    greater_or_equal: Numbers | None = None
    exists: Always | None = None
    negate: Boolean = False

    @property
    def given(self) -> dict[str, list[Any] | bool]:
        """The operators that are named, with their values."""
        fields = self.model_dump(by_alias=True, exclude_none=True, exclude={"attribute", "negate"})
        return dict(fields)

    @model_validator(mode="after")
    def _one_operator(self) -> "ClauseDocument":
        names = list(self.given)
        if not names:
            known = [field.alias or name for name, field in type(self).model_fields.items()]
            raise ValueError(f"names no operator: add one of {', '.join(known[1:-1])}")
        if len(names) > 1:
            raise ValueError(
                f"names {len(names)} operators ({', '.join(names)}): give each a clause of its own"
            )
        return self


class RuleDocument(Document):
    """Serves one variant to the units for which all conditions hold."""

    name: Label
    when: list[ClauseDocument] = Field(min_length=1, max_length=100)
    serve: Key


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
    rules: list[RuleDocument] = Field([], max_length=100)
    overrides: dict[UnitId, Key] = Field({}, max_length=1_000)
    killed: Boolean = False
    salt: Label | None = None
    metrics: dict[Key, MetricDocument] = {}
