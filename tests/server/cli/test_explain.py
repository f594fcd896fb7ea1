"""`tidegate explain` against a real server."""

import json
from pathlib import Path

import pytest

from tests.server.cli.conftest import Cli
from tests.server.cli.test_flags import FLAG
from tidegate_server.cli.explain import parse_attributes
from tidegate_server.errors import InvalidField


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A flag key of the test's own."""
    return str(request.node.originalname).replace("_", "-")[:100]


@pytest.fixture
def revision(tidegate: Cli, tmp_path: Path, key: str) -> int:
    """The revision at which the test's flag was made."""
    file = tmp_path / "flag.yaml"
    file.write_text(FLAG.format(key=key))
    _, out, _ = tidegate("flag", "apply", str(file))
    return int(out.split("revision ")[1].split(":")[0])


def test_the_steps_are_shown_and_the_one_that_decided_is_marked(
    tidegate: Cli, key: str, revision: int
) -> None:
    code, out, err = tidegate("explain", key, "anna", "--attributes", "team=eval")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head == f"anna is given v2 of {key} at revision {revision} (phase {revision}): RULE"
    (decided,) = [row for row in rows if "→" in row]
    assert "staff" in decided
    assert "kill switch" in out


def test_an_earlier_revision_is_explained(tidegate: Cli, key: str, revision: int) -> None:
    tidegate("flag", "kill", key)
    words = ("explain", key, "anna", "--attributes", '{"team": "eval"}')
    _, out, _ = tidegate(*words)
    assert out.splitlines()[0].endswith(": KILLED")
    _, out, _ = tidegate(*words, "--revision", str(revision))
    assert out.splitlines()[0].endswith(": RULE")
    code, _, err = tidegate(*words, "--revision", "1000000")
    assert (code, "revision 1000000 is not there yet" in err) == (1, True)


def test_a_flag_that_is_not_there_is_an_answer(tidegate: Cli) -> None:
    code, out, _ = tidegate("explain", "no-such-flag-at-all", "anna")
    assert code == 0
    assert "anna is given no variant of no-such-flag-at-all" in out
    assert "FLAG_NOT_FOUND" in out


@pytest.mark.usefixtures("revision")
def test_json_is_for_programs(tidegate: Cli, key: str) -> None:
    _, out, _ = tidegate("explain", key, "anna", "-a", "team=eval", "--output", "json")
    answer = json.loads(out)
    assert answer["assignment"]["variant"] == "v2"
    assert answer["steps"][-1]["decided"] is True


def test_attributes_are_json_or_names_with_values() -> None:
    texts = ['{"team": "eval", "tags": ["a"]}', "age=30", "name=Anna", "beta=true", "q=", "id='5'"]
    assert parse_attributes([*texts, 'code="30"', "version=1.2.3", "list=[1]"]) == {
        "team": "eval",
        "tags": ["a"],
        "age": 30,
        "name": "Anna",
        "beta": True,
        "q": "",
        "id": "'5'",
        "code": "30",
        "version": "1.2.3",
        "list": "[1]",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("team", "'team' is neither NAME=VALUE"),
        ("=eval", "'=eval' is neither NAME=VALUE"),
        ('{"team":', "is not valid JSON"),
    ],
)
def test_what_is_no_attribute_is_named(text: str, words: str) -> None:
    with pytest.raises(InvalidField, match="attributes: ") as caught:
        parse_attributes([text])
    assert words in str(caught.value)
