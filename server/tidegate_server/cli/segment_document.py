"""What a segment file says, as pydantic models."""

from pydantic import Field

from tidegate_server.cli.clause_document import Document, WhenItem
from tidegate_server.cli.field_types import Key, LongText, UnitIds


class ConditionDocument(Document):
    """A condition of a segment: all of its clauses must hold. Clauses on segments are refused."""

    when: list[WhenItem] = Field(min_length=1, max_length=100)


class SegmentDocument(Document):
    """A segment file."""

    segment: Key
    description: LongText = ""
    include: UnitIds = Field([])
    exclude: UnitIds = Field([])
    rules: list[ConditionDocument] = Field([], max_length=100)
