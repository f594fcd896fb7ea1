from pathlib import Path

import pytest
from google.protobuf.struct_pb2 import Value
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.cli.test_flag_file import clauses, keys, names, texts
from tidegate.v1 import flag_pb2, segment_pb2
from tidegate_server.cli.document_file import DocumentError
from tidegate_server.cli.segment_file import (
    format_segment_file,
    parse_segment_file,
    read_segment_file,
)
from tidegate_server.errors import ConfigurationError

TESTERS = """\
segment: beta-testers
description: who tries everything first
include: [anna, bert]
exclude: [carl]
rules:
  - when:
      - {attribute: team, in: [qa, eval]}
      - {attribute: age, less: 65, greater_or_equal: 18}
  - when:
      - {attribute: country, equals: NZ}
"""


def test_a_segment_is_read() -> None:
    segment = parse_segment_file("s.yaml", TESTERS)
    assert (segment.key, segment.description) == ("beta-testers", "who tries everything first")
    assert list(segment.included_unit_ids) == ["anna", "bert"]
    assert list(segment.excluded_unit_ids) == ["carl"]
    first, second = segment.rules
    assert [each.attribute for each in first.clauses] == ["team", "age", "age"]
    assert list(second.clauses) == [
        flag_pb2.Clause(
            attribute="country",
            operator=flag_pb2.OPERATOR_IN,
            values=[Value(string_value="NZ")],
        )
    ]


def test_a_segment_is_written_as_people_write_it() -> None:
    text = format_segment_file(parse_segment_file("s.yaml", TESTERS))
    assert text == (
        "segment: beta-testers\n"
        "description: who tries everything first\n"
        "include:\n"
        "  - anna\n"
        "  - bert\n"
        "exclude:\n"
        "  - carl\n"
        "rules:\n"
        "  - when:\n"
        "      - {attribute: team, in: [qa, eval]}\n"
        "      - {attribute: age, less: [65]}\n"
        "      - {attribute: age, greater_or_equal: [18]}\n"
        "  - when:\n"
        "      - {attribute: country, in: [NZ]}\n"
    )


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("{}", ["1:1: segment: is missing: add it"]),
        (
            "[a]",
            ["1:1: must be a mapping that begins with `segment:`, not a list"],
        ),
        (
            "segment: s\ninclud: [a]\n",
            ["2:1: includ: the field 'includ' is not known; did you mean 'include'?"],
        ),
        (
            "segment: s\ninclude: [a, 5, '']\n",
            [
                "2:14: include[1]: must be text, not the number 5: put it in quotes",
                "2:17: include[2]: has 0 characters: give 1 to 1,000",
            ],
        ),
        (
            "segment: s\nrules: [{when: [{attribute: t, inn: x}]}, {wen: []}]\n",
            [
                "2:32: rules[0].when[0].inn: the field 'inn' is not known; did you mean 'in'?",
                "2:43: rules[1].when: is missing: add it",
                "2:44: rules[1].wen: the field 'wen' is not known; did you mean 'when'?",
            ],
        ),
        (
            "segment: s\nrules: [{when: [{segment: other}]}]\n",
            [
                (
                    "2:18: rules[0].when[0].segment: segments do not nest: "
                    "write the other segment's conditions here"
                )
            ],
        ),
    ],
    ids=["empty", "list", "misspelt", "units", "clauses", "nested"],
)
def test_all_problems_are_named_with_place_and_fix(text: str, problems: list[str]) -> None:
    with pytest.raises(DocumentError) as failure:
        parse_segment_file("s.yaml", text)
    assert str(failure.value).splitlines() == [f"s.yaml:{line}" for line in problems]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"x\.yaml: cannot be read \(No such file or dir"):
        read_segment_file(tmp_path / "x.yaml")


own_clauses = clauses().filter(lambda each: each.operator != flag_pb2.OPERATOR_IN_SEGMENT)
units = st.lists(names, max_size=3, unique=True).map(sorted)


@st.composite
def segments(draw: st.DrawFn) -> segment_pb2.Segment:
    return segment_pb2.Segment(
        key=draw(keys),
        description=draw(texts),
        included_unit_ids=draw(units),
        excluded_unit_ids=draw(units),
        rules=[
            segment_pb2.SegmentRule(clauses=draw(st.lists(own_clauses, min_size=1, max_size=3)))
            for _ in range(draw(st.integers(0, 2)))
        ],
    )


@given(segments())
@settings(max_examples=100, deadline=None)
def test_what_is_written_reads_back_as_the_same_segment(segment: segment_pb2.Segment) -> None:
    assert parse_segment_file("s.yaml", format_segment_file(segment)) == segment
