"""The files that the documentation shows are read, and say what they seem to."""

import re
from pathlib import Path

import pytest

from tidegate_server.cli.flag_document import FlagDocument
from tidegate_server.cli.flag_file import format_flag_file, parse_flag_file
from tidegate_server.cli.segment_document import SegmentDocument
from tidegate_server.cli.segment_file import format_segment_file, parse_segment_file

ROOT = Path(__file__).parents[3]


def yaml_blocks(*names: str) -> list[str]:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in names]
    return [block for text in texts for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


BLOCKS = yaml_blocks("README.md", "docs/flags.md")


@pytest.mark.parametrize("text", BLOCKS)
def test_every_example_is_read_and_reads_back(text: str) -> None:
    if re.search("^segment:", text, re.MULTILINE):
        segment = parse_segment_file("example.yaml", text)
        assert parse_segment_file("again.yaml", format_segment_file(segment)) == segment
    else:
        flag = parse_flag_file("example.yaml", text).flag
        assert parse_flag_file("again.yaml", format_flag_file(flag)).flag == flag


@pytest.mark.parametrize("document", [FlagDocument, SegmentDocument])
def test_every_field_has_an_example(document: type[FlagDocument | SegmentDocument]) -> None:
    shown = {name for text in BLOCKS for name in re.findall(r"^([a-z_]+):", text, re.MULTILINE)}
    assert set(document.model_fields) <= shown
