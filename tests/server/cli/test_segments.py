"""The segment commands and the holdout against a real server."""

import json
from pathlib import Path

import pytest

from tests.server.cli.conftest import Cli
from tests.server.cli.test_flags import FLAG

SEGMENT = """\
segment: {key}
include: [anna]
rules:
  - when: [{{attribute: team, in: [qa]}}]
"""


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A segment key of the test's own."""
    return str(request.node.originalname).replace("_", "-")[:100]


@pytest.fixture
def file(tmp_path: Path, key: str) -> Path:
    path = tmp_path / "segment.yaml"
    path.write_text(SEGMENT.format(key=key))
    return path


def test_apply_creates_then_changes(tidegate: Cli, file: Path, key: str) -> None:
    code, out, err = tidegate("segment", "apply", str(file))
    assert (code, err) == (0, "")
    assert out.startswith(f"created segment {key} at revision ")
    _, out, _ = tidegate("segment", "apply", str(file))
    assert out.startswith(f"segment {key} is unchanged at revision ")
    file.write_text(SEGMENT.format(key=key).replace("[anna]", "[anna, bert]"))
    _, out, _ = tidegate("segment", "apply", str(file))
    first, *lines = out.splitlines()
    assert first.startswith(f"changed segment {key} at revision ")
    assert lines == ['  ~ include: ["anna"] → ["anna", "bert"]']


def test_what_get_prints_as_yaml_apply_reads(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("segment", "apply", str(file))
    _, out, _ = tidegate("segment", "get", key, "--output", "yaml")
    file.write_text(out)
    _, out, _ = tidegate("segment", "apply", str(file))
    assert "is unchanged" in out


def test_get_shows_a_segment(tidegate: Cli, file: Path, key: str) -> None:
    file.write_text("description: who tries first\n" + SEGMENT.format(key=key))
    tidegate("segment", "apply", str(file))
    code, out, _ = tidegate("segment", "get", key)
    assert code == 0
    for part in (key, "who tries first", "anna", "nobody by name", '"in": ["qa"]'):
        assert part in out
    _, out, _ = tidegate("segment", "get", key, "--output", "json")
    assert json.loads(out)["included_unit_ids"] == ["anna"]


def test_list_shows_all_segments(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("segment", "apply", str(file))
    code, out, _ = tidegate("segment", "list")
    assert code == 0
    assert any(key in line for line in out.splitlines())


def test_a_segment_in_use_is_not_deleted(
    tidegate: Cli, file: Path, key: str, tmp_path: Path
) -> None:
    tidegate("segment", "apply", str(file))
    flag = tmp_path / "flag.yaml"
    text = FLAG.format(key=key).replace("{attribute: team, in: [eval]}", f"{{segment: {key}}}")
    flag.write_text(text)
    assert tidegate("flag", "apply", str(flag))[0] == 0
    code, _, err = tidegate("segment", "delete", key, "--yes")
    assert (code, err) == (
        1,
        f"error: segment {key!r} is named by the rules of {key!r}: change those rules first\n",
    )
    tidegate("flag", "delete", key, "--yes")
    code, out, _ = tidegate("segment", "delete", key, "--yes")
    assert (code, out.startswith(f"deleted segment {key} at revision ")) == (0, True)
    code, _, err = tidegate("segment", "get", key)
    assert (code, err.startswith(f"error: segment {key!r} is not known")) == (1, True)


def test_delete_without_a_terminal_needs_yes(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("segment", "apply", str(file))
    code, _, err = tidegate("segment", "delete", key)
    assert (code, err) == (
        1,
        f"error: segment delete {key}: there is no terminal to ask at; add --yes\n",
    )


def test_the_holdout_is_shown_and_set(tidegate: Cli) -> None:
    assert tidegate("holdout")[1] == "0 % of the units are held out of all flags\n"
    code, out, _ = tidegate("holdout", "2.5%")
    assert (code, out.startswith("holdout: 0 % → 2.5 % at revision ")) == (0, True)
    assert tidegate("holdout", "2.5")[1] == "holdout: 2.5 % already\n"
    assert tidegate("holdout")[1] == "2.5 % of the units are held out of all flags\n"
    assert tidegate("holdout", "0")[0] == 0


def test_a_holdout_that_is_no_share_is_refused(cli: Cli) -> None:
    assert cli("holdout", "lots") == (
        1,
        "",
        "error: holdout: 'lots' is not a percentage: write a number such as 75% or 12.5%\n",
    )
