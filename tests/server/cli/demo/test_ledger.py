"""Ledgers that cannot be used are refused with their file, field and fix."""

from pathlib import Path

import pytest

from tests.server.cli.demo.reports import ledger_of
from tidegate_server.cli.demo.ledger import read_ledger
from tidegate_server.errors import ConfigurationError


def test_what_was_written_is_read(tmp_path: Path) -> None:
    ledger = ledger_of({("v1", ""): 2, ("v1", "error"): 7})
    file = tmp_path / "ledger.json"
    file.write_text(ledger.model_dump_json())
    assert read_ledger(file) == ledger
    assert ledger.events() == {("v1", ""): 2, ("v1", "error"): 7}


def test_a_missing_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ledger\.json: the application left no ledger"):
        read_ledger(tmp_path / "ledger.json")


@pytest.mark.parametrize(
    ("text", "field"),
    [("{", "the file"), ('{"requests": [[1, "v1", -1]]}', r"requests\.0\.2")],
)
def test_a_wrong_ledger_names_the_field(tmp_path: Path, text: str, field: str) -> None:
    file = tmp_path / "ledger.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=field):
        read_ledger(file)
