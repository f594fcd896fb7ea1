import pytest

from tidegate_server.cli import yaml_tree
from tidegate_server.cli.yaml_tree import Position, parse, show


def problems(text: str) -> list[str]:
    return [
        f"{problem.position.line}:{problem.position.column} {problem.path}: {problem.message}"
        for problem in parse(text).problems
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("010", 10),
        ("-010", -10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1e3", 1000.0),
        ("12:30", "12:30"),
        ("2026-01-31", "2026-01-31"),
        ("'12'", "12"),
        ("9007199254740992", 1 << 53),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    tree = parse(f"a: {text}")
    assert tree.problems == []
    assert tree.data == {"a": value}
    assert type(tree.data["a"]) is type(value)


def test_keys_are_text_as_it_is_written() -> None:
    assert parse("1: a\ntrue: b\n1.0: c\n~: d").data == {
        "1": "a",
        "true": "b",
        "1.0": "c",
        "~": "d",
    }


def test_every_place_is_known() -> None:
    tree = parse("a:\n  - b: {c: 1}\n")
    assert tree.keys[("a",)] == Position(1, 1)
    assert tree.values[("a", 0)] == Position(2, 5)
    assert tree.keys[("a", 0, "b", "c")] == Position(2, 9)
    assert tree.values[("a", 0, "b", "c")] == Position(2, 12)


def test_aliases_are_followed() -> None:
    assert parse("a: &x {b: [1]}\nc: *x").data == {"a": {"b": [1]}, "c": {"b": [1]}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: b: c",
            (
                "1:5 : is not valid YAML: mapping values are not allowed here; "
                "put text that has a colon in quotes"
            ),
        ),
        (
            "a:\n\t- 1",
            (
                "2:1 : is not valid YAML: found character '\\t' that cannot start any token; "
                "indent by spaces, not tabs"
            ),
        ),
        (
            "a: [1, 2",
            (
                "1:9 : is not valid YAML: expected ',' or ']', but got '<stream end>'; "
                "check the line above too"
            ),
        ),
        (
            "a: 1\n---\nb: 2",
            (
                "2:1 : is not valid YAML: but found another document; "
                "one file describes one flag, segment or experiment"
            ),
        ),
        (
            "a: *x",
            "1:4 : is not valid YAML: found undefined alias 'x'; define it above with &name",
        ),
        (
            "a: 1\nb: \x07",
            (
                "2:4 : the character U+0007 is not allowed in YAML: "
                "write it as an escape in double quotes"
            ),
        ),
        ("# nothing\n", "1:1 : is empty: describe one flag, segment or experiment"),
        ("[" * 1000, "1:1 : is nested too deeply: flatten it"),
        ("a: 1\nb: 2\na: 3", "3:1 a: occurs twice, first in line 1: keep one"),
        ("a: &x [*x]", "1:4 a[0]: is an alias of something it is a part of: write it out"),
        ("a:\n  ? [b]\n  : 1", "2:5 a: has a key that is not text: name the key"),
        ("a: {<<: {b: 1}}", "1:5 a: merge keys (<<) are not supported: write it out"),
        ("a: .inf", "1:4 a: .inf is not a finite number: use one, or put it in quotes"),
        ("a: .NaN", "1:4 a: .NaN is not a finite number: use one, or put it in quotes"),
        ("a: 1e400", "1:4 a: 1e400 is not a finite number: use one, or put it in quotes"),
        (
            "a: -9007199254740993",
            "1:4 a: -9007199254740993 is larger than 2^53 and would lose digits: put it in quotes",
        ),
        ("a: !!int x", "1:4 a: 'x' is not a number; put text in quotes"),
        ("a: !fn x", "1:4 a: 'x' with the tag !fn is not supported: use plain YAML 1.2"),
        (
            "%YAML 1.1\n---\na: yes",
            "3:4 a: 'yes' with the tag bool is not supported: use plain YAML 1.2",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, message: str) -> None:
    assert problems(text) == [message]


def test_aliases_cannot_blow_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_tree, "_MOST_NODES", 1_000)
    doubling = "".join(f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}]\n" for n in range(1, 40))
    (problem,) = problems("l0: &l0 [x]\n" + doubling)
    assert problem.endswith("the file has more than 1,000 values")


def test_paths_are_shown_as_people_write_them() -> None:
    assert show(()) == ""
    assert show(("rules", 0, "when", 1, "in")) == "rules[0].when[1].in"
