"""What one item of `when` says, as pydantic models."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from tidegate_server.cli.field_types import (
    Always,
    Boolean,
    Dates,
    Keys,
    Label,
    Numbers,
    Patterns,
    Scalars,
    Texts,
    Versions,
)


class Document(BaseModel):
    """A mapping of a file: a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClauseDocument(Document):
    """Conditions on one attribute, all of which must hold; `negate` turns a single one round."""

    attribute: Label
    in_: Scalars | None = Field(None, alias="in")
    not_in: Scalars | None = None
    equals: Scalars | None = Field(None, max_length=1)
    not_equals: Scalars | None = Field(None, max_length=1)
    contains: Texts | None = None
    starts_with: Texts | None = None
    ends_with: Texts | None = None
    matches: Patterns | None = None
    not_matches: Patterns | None = None
    less: Numbers | None = None
    less_or_equal: Numbers | None = None
    greater: Numbers | None = None
    greater_or_equal: Numbers | None = None
    version_equal: Versions | None = None
    version_less: Versions | None = None
    version_less_or_equal: Versions | None = None
    version_greater: Versions | None = None
    version_greater_or_equal: Versions | None = None
    before: Dates | None = None
    after: Dates | None = None
    exists: Always | None = None
    negate: Boolean = False

    @property
    def given(self) -> dict[str, list[Any] | bool]:
        """The operators that are named, with their values."""
        fields = self.model_dump(by_alias=True, exclude_none=True, exclude={"attribute", "negate"})
        return dict(fields)

    @model_validator(mode="after")
    def _operators(self) -> "ClauseDocument":
        names = list(self.given)
        if not names:
            known = [field.alias or name for name, field in type(self).model_fields.items()]
            raise ValueError(f"names no operator: add one of {', '.join(known[1:-1])}")
        if len(names) > 1 and self.negate:
            raise ValueError(
                f"negates {len(names)} operators at once ({', '.join(names)}): "
                "give each an item of its own"
            )
        return self


class SegmentClauseDocument(Document):
    """The unit is in one of some segments, and in none of others."""

    segment: Keys | None = None
    not_segment: Keys | None = None

    @property
    def given(self) -> dict[str, list[str]]:
        """The lists that are named."""
        return self.model_dump(exclude_none=True)


_ATTRIBUTE, _SEGMENT = "attribute", "segment"


def _form(value: Any) -> str:
    """Tell which form an item has; what is neither is reported as a clause."""
    is_segment = isinstance(value, dict) and ("segment" in value or "not_segment" in value)
    return _SEGMENT if is_segment else _ATTRIBUTE


WhenItem = Annotated[
    Annotated[ClauseDocument, Tag(_ATTRIBUTE)] | Annotated[SegmentClauseDocument, Tag(_SEGMENT)],
    Discriminator(_form),
]
FORMS: dict[str | int, type[Document]] = {
    _ATTRIBUTE: ClauseDocument,
    _SEGMENT: SegmentClauseDocument,
}
"""The forms by the tags that pydantic puts into the paths of errors."""
