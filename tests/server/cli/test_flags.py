"""The flag commands against a real server."""

import json
from pathlib import Path

import pytest

from tests.server.cli.conftest import Cli

FLAG = """\
flag: {key}
default: v1
variants:
  v1: {{model: small}}
  v2: {{model: large}}
split: {{v1: 95%, v2: 5%}}
rules:
  - {{name: staff, when: [{{attribute: team, in: [eval]}}], serve: v2}}
"""


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A flag key of the test's own."""
    return str(request.node.originalname).replace("_", "-")[:100]


@pytest.fixture
def file(tmp_path: Path, key: str) -> Path:
    path = tmp_path / "flag.yaml"
    path.write_text(FLAG.format(key=key))
    return path


def test_apply_creates_then_finds_nothing_to_change(tidegate: Cli, file: Path, key: str) -> None:
    code, out, err = tidegate("flag", "apply", str(file))
    assert (code, err) == (0, "")
    assert out.startswith(f"created flag {key} at revision ")
    assert out.endswith(": v1 95 %, v2 5 %\n")
    code, out, _ = tidegate("flag", "apply", str(file))
    assert code == 0
    assert out.startswith(f"flag {key} is unchanged at revision ")


def test_apply_tells_what_changed_and_who_moves(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("flag", "apply", str(file))
    text = FLAG.format(key=key).replace("v1: 95%, v2: 5%", "v1: 60%, v2: 25%, v3: 15%")
    text = text.replace("rules:", "  # and one more\nrules:").replace(
        "in: [eval]", "in: [eval, qa]"
    )
    file.write_text(text.replace("split:", "  v3: {model: huge}\nkilled: true\nsplit:"))
    code, out, _ = tidegate("flag", "apply", str(file))
    assert code == 0
    first, *lines = out.splitlines()
    assert first.startswith(f"changed flag {key} at revision ")
    assert lines == [
        '  + variants.v3: {"model": "huge"}',
        "  ~ split.v1: 95% → 60%",
        "  ~ split.v2: 5% → 25%",
        "  + split.v3: 15%",
        (
            '  ~ rules.staff.when: [{"attribute": "team", "in": ["eval"]}] → '
            '[{"attribute": "team", "in": ["eval", "qa"]}]'
        ),
        "  ~ killed: false → true",
        "35 % of the units move:",
        "  v1 → v2  20 %",
        "  v1 → v3  15 %",
    ]


def test_apply_that_moves_nobody_says_so(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("flag", "apply", str(file))
    file.write_text("description: for chats\n" + FLAG.format(key=key))
    _, out, _ = tidegate("flag", "apply", str(file))
    assert out.splitlines()[1:] == ["  + description: for chats", "no unit moves"]


def test_apply_that_changes_who_takes_part_says_so(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("flag", "apply", str(file))
    file.write_text("enrolment: 50%\n" + FLAG.format(key=key))
    _, out, _ = tidegate("flag", "apply", str(file))
    assert out.splitlines()[1:] == [
        "  + enrolment: 50%",
        "the split moves no unit, but who takes part has changed: another phase begins",
    ]


def test_a_file_that_is_silent_does_not_revive_a_killed_flag(
    tidegate: Cli, file: Path, key: str
) -> None:
    tidegate("flag", "apply", str(file))
    tidegate("flag", "kill", key)
    _, out, _ = tidegate("flag", "apply", str(file))
    assert out.startswith(f"flag {key} is unchanged and killed at revision ")
    file.write_text("killed: false\n" + FLAG.format(key=key))
    _, out, _ = tidegate("flag", "apply", str(file))
    assert out.splitlines()[1:] == ["  ~ killed: true → false", "no unit moves"]


def test_a_changed_value_is_refused_with_its_place(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("flag", "apply", str(file))
    file.write_text(FLAG.format(key=key).replace("large", "larger"))
    code, _, err = tidegate("flag", "apply", str(file))
    assert code == 1
    assert err == (
        f"error: {file}:5:7: variants.v2: is immutable, and its value would change: "
        "give the new value a variant of its own, and move the split to it\n"
    )


def test_a_changed_salt_is_refused_with_its_place(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("flag", "apply", str(file))
    file.write_text("salt: other\n" + FLAG.format(key=key))
    code, _, err = tidegate("flag", "apply", str(file))
    assert code == 1
    assert err == (f"error: {file}:1:7: salt: is immutable and stays {key!r}: make a new flag\n")


def test_what_only_the_server_refuses_has_its_place(tidegate: Cli, file: Path, key: str) -> None:
    file.write_text(FLAG.format(key=key).replace("large", "x" * 70_000))
    code, _, err = tidegate("flag", "apply", str(file))
    assert code == 1
    assert err.startswith(f"error: {file}:5:7: variants.v2: is 70,")


def test_a_flag_and_a_segment_that_do_not_exist_are_named_in_the_file(
    tidegate: Cli, file: Path, key: str
) -> None:
    text = FLAG.format(key=key)
    file.write_text(text + "prerequisites: [{flag: none-of-these, in: v1}]\n")
    code, _, err = tidegate("flag", "apply", str(file))
    assert code == 1
    assert err.startswith(
        f"error: {file}:9:24: prerequisites[0].flag: flag 'none-of-these' is not known; "
    )
    file.write_text(text.replace("{attribute: team, in: [eval]}", "{segment: none-of-these}"))
    code, _, err = tidegate("flag", "apply", str(file))
    assert code == 1
    assert err.startswith(
        f"error: {file}:8:36: rules[0].when[0].segment[0]: segment 'none-of-these'"
    )


def test_a_layer_without_room_is_named_in_the_file(tidegate: Cli, file: Path, key: str) -> None:
    layer = f"layer: {{name: {key}, share: 60%}}\n"
    file.write_text(FLAG.format(key=key) + layer)
    tidegate("flag", "apply", str(file))
    file.write_text(FLAG.format(key=f"{key}-2") + layer)
    code, _, err = tidegate("flag", "apply", str(file))
    assert code == 1
    assert "layer.share: 60 % does not fit into layer" in err
    assert f"of which 40 % is free ('{key}' holds 60 %): give at most 40 %" in err


def test_a_wrong_file_is_refused_without_a_server(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "flag.yaml"
    file.write_text("flag: f\ndefualt: v1\nvariants: {v1: {}}\n")
    code, out, err = cli("--server", "127.0.0.1:1", "flag", "apply", str(file))
    assert (code, out) == (1, "")
    assert err == (
        f"error: {file}:1:1: default: is missing: add it\n"
        f"  {file}:2:1: defualt: the field 'defualt' is not known; did you mean 'default'?\n"
    )


def test_what_get_prints_as_yaml_apply_reads(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("flag", "apply", str(file))
    code, out, _ = tidegate("flag", "get", key, "--output", "yaml")
    assert code == 0
    file.write_text(out)
    _, out, _ = tidegate("flag", "apply", str(file))
    assert "is unchanged" in out


def test_get_shows_a_flag(tidegate: Cli, file: Path, key: str) -> None:
    file.write_text(
        "description: for chats\nkilled: true\nsalt: s1\noverrides: {anna: v2}\n"
        "enrolment: 12.5%\nunit: account\nignore_holdout: true\n"
        f"layer: {{name: {key}, share: 30%}}\n"
        "metrics: {tokens: {direction: lower}}\n" + FLAG.format(key=key)
    )
    tidegate("flag", "apply", str(file))
    code, out, _ = tidegate("flag", "get", key)
    assert code == 0
    for part in (key, "for chats", "killed", "s1", "95 %", '{"model": "large"}', "staff", "anna"):
        assert part in out
    assert "v1 (default)" in out
    assert "tokens" in out
    for part in ("12.5% of the units", "'account'", "held-out units take part", f"30% of {key}"):
        assert part in out


def test_get_prints_json(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("flag", "apply", str(file))
    _, out, _ = tidegate("flag", "get", key, "--output", "json")
    flag = json.loads(out)
    assert flag["split"] == [
        {"variant": "v1", "share_ppm": 950_000},
        {"variant": "v2", "share_ppm": 50_000},
    ]
    assert int(flag["phase"]) >= 1


def test_a_rules_own_split_is_changed_and_shown(tidegate: Cli, file: Path, key: str) -> None:
    text = FLAG.format(key=key)
    file.write_text(text.replace("serve: v2", "split: {v1: 50%, v2: 50%}"))
    tidegate("flag", "apply", str(file))
    file.write_text(text.replace("serve: v2", "split: {v1: 10%, v2: 90%}"))
    _, out, _ = tidegate("flag", "apply", str(file))
    assert out.splitlines()[1:3] == [
        "  ~ rules.staff.split.v1: 50% → 10%",
        "  ~ rules.staff.split.v2: 50% → 90%",
    ]
    _, out, _ = tidegate("flag", "get", key)
    assert "v1 10%, v2 90%" in out


def test_list_shows_all_flags(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("flag", "apply", str(file))
    code, out, _ = tidegate("flag", "list")
    assert code == 0
    (line,) = [line for line in out.splitlines() if key in line]
    assert "v1 95 %, v2 5 %" in line


def test_split_moves_the_fewest(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("flag", "apply", str(file))
    code, out, _ = tidegate("flag", "split", key, "v1=75", "v2=25%", "--preview")
    assert code == 0
    assert out.splitlines() == [
        f"{key}: v1 95 %, v2 5 % → v1 75 %, v2 25 % (not applied)",
        "20 % of the units would move:",
        "  v1 → v2  20 %",
    ]
    code, out, _ = tidegate("flag", "split", key, "v1=87.5", "v2=12.5")
    assert code == 0
    first, *rest = out.splitlines()
    assert first.startswith(f"{key}: v1 95 %, v2 5 % → v1 87.5 %, v2 12.5 % at revision ")
    assert rest == ["7.5 % of the units move:", "  v1 → v2  7.5 %"]
    _, out, _ = tidegate("flag", "split", key, "v1=87.5", "v2=12.5", "--preview")
    assert out.splitlines()[1:] == ["no unit would move"]
    _, out, _ = tidegate("flag", "split", key, "v2=100")
    assert out.splitlines()[1:] == ["87.5 % of the units move:", "  v1 → v2  87.5 %"]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (["v1=75", "v3=25"], "split.v3: variant 'v3' is not known; known are 'v1', 'v2'"),
        (["v1=75", "v2=20"], "split: the shares add up to 95%, not 100%: add 5%"),
        (["v1=x"], "split.v1: 'x' is not a percentage: write a number such as 75% or 12.5%"),
        (["v1=50", "v1=50"], "split.v1: occurs twice: name each variant once"),
    ],
)
def test_a_wrong_split_is_refused(
    tidegate: Cli, file: Path, key: str, shares: list[str], message: str
) -> None:
    tidegate("flag", "apply", str(file))
    code, out, err = tidegate("flag", "split", key, *shares)
    assert (code, out, err) == (1, "", f"error: {message}\n")


def test_a_share_without_a_variant_is_a_usage_error(cli: Cli) -> None:
    code, _, err = cli("flag", "split", "f", "v1")
    assert code == 2
    assert "'v1' is not VARIANT=SHARE, such as v1=75" in err


def test_delete_asks_or_is_told(tidegate: Cli, file: Path, key: str) -> None:
    tidegate("flag", "apply", str(file))
    code, _, err = tidegate("flag", "delete", key)
    assert (code, err) == (
        1,
        f"error: flag delete {key}: there is no terminal to ask at; add --yes\n",
    )
    code, out, _ = tidegate("flag", "delete", key, "--yes")
    assert code == 0
    assert out.startswith(f"deleted flag {key} at revision ")
    code, _, err = tidegate("flag", "get", key)
    assert code == 1
    assert err.startswith(f"error: flag {key!r} is not known")


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_delete_asks_at_a_terminal(
    tidegate: Cli,
    file: Path,
    key: str,
    answer: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tidegate("flag", "apply", str(file))
    monkeypatch.setattr("sys.stdin", _Terminal(answer))
    got, out, _ = tidegate("flag", "delete", key)
    assert got == code
    assert f"Delete flag {key} (v1 95 %, v2 5 %)?" in out
    assert ("deleted flag" in out) is (code == 0)


class _Terminal:
    def __init__(self, answer: str) -> None:
        self._answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self, _size: int = -1) -> str:
        return self._answer

    def fileno(self) -> int:
        raise OSError
