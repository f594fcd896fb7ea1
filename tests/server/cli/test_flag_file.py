from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.model import PPM
from tidegate.v1 import flag_pb2
from tidegate_server.cli.flag_file import (
    FlagFileError,
    format_flag_file,
    parse_flag_file,
    read_flag_file,
)
from tidegate_server.errors import ConfigurationError

CHAT_MODEL = """\
flag: chat-model
default: v1
variants:
  v1: {provider: vllm, endpoint: "http://10.0.0.7:8000", price_per_mtok: {in: 0.05, out: 0.08}}
  v2: {provider: vllm, endpoint: "http://10.0.0.9:8000", price_per_mtok: {in: 0.05, out: 0.08}}
split: {v1: 95%, v2: 5%}
rules:
  - {name: staff, when: [{attribute: team, in: [platform, eval]}], serve: v2}
"""

HEAD = "flag: f\ndefault: a\nvariants: {a: {}, b: {}}\nsplit: {a: 50%, b: 50%}\n"


def test_the_example_of_the_design_is_read() -> None:
    flag = parse_flag_file("chat-model.yaml", CHAT_MODEL).flag
    assert (flag.key, flag.default_variant, flag.salt, flag.killed) == (
        "chat-model",
        "v1",
        "",
        False,
    )
    assert [(share.variant, share.share_ppm) for share in flag.split] == [
        ("v1", 950_000),
        ("v2", 50_000),
    ]
    assert flag.variants[1].value.fields["endpoint"].string_value == "http://10.0.0.9:8000"
    (rule,) = flag.rules
    assert (rule.name, rule.variant) == ("staff", "v2")
    (clause,) = rule.clauses
    assert clause == flag_pb2.Clause(
        attribute="team",
        operator=flag_pb2.OPERATOR_IN,
        values=[Value(string_value="platform"), Value(string_value="eval")],
    )


def test_one_variant_needs_no_split() -> None:
    flag = parse_flag_file("f.yaml", "flag: f\ndefault: a\nvariants: {a: {}}\n").flag
    assert [(share.variant, share.share_ppm) for share in flag.split] == [("a", PPM)]


def test_the_rest_of_a_flag_is_read() -> None:
    flag = parse_flag_file(
        "f.yaml",
        HEAD + "description: what for\nkilled: true\nsalt: s\noverrides: {007: b, true: a}\n"
        "metrics: {score: {direction: higher}, tokens: {direction: lower}}\n",
    ).flag
    assert (flag.description, flag.killed, flag.salt) == ("what for", True, "s")
    assert [(item.unit_id, item.variant) for item in flag.overrides] == [
        ("007", "b"),
        ("true", "a"),
    ]
    assert [(item.outcome, item.direction) for item in flag.metrics] == [
        ("score", flag_pb2.DIRECTION_HIGHER_IS_BETTER),
        ("tokens", flag_pb2.DIRECTION_LOWER_IS_BETTER),
    ]


@pytest.mark.parametrize(
    ("clause", "operator", "values", "negate"),
    [
        ("in: [x, 1, true]", flag_pb2.OPERATOR_IN, ["x", 1, True], False),
        ("in: x", flag_pb2.OPERATOR_IN, ["x"], False),
        ("not_in: [x]", flag_pb2.OPERATOR_IN, ["x"], True),
        ("not_in: [x], negate: true", flag_pb2.OPERATOR_IN, ["x"], False),
        ("equals: no", flag_pb2.OPERATOR_IN, ["no"], False),
        ("not_equals: 2", flag_pb2.OPERATOR_IN, [2], True),
        ("contains: x", flag_pb2.OPERATOR_CONTAINS, ["x"], False),
        ("starts_with: [x, y]", flag_pb2.OPERATOR_STARTS_WITH, ["x", "y"], False),
        ("ends_with: x, negate: true", flag_pb2.OPERATOR_ENDS_WITH, ["x"], True),
        ("less: 1", flag_pb2.OPERATOR_LESS, [1], False),
        ("less_or_equal: 1.5", flag_pb2.OPERATOR_LESS_OR_EQUAL, [1.5], False),
        ("greater: 1", flag_pb2.OPERATOR_GREATER, [1], False),
        ("greater_or_equal: 1", flag_pb2.OPERATOR_GREATER_OR_EQUAL, [1], False),
        ("exists: true", flag_pb2.OPERATOR_EXISTS, [], False),
    ],
)
def test_operators_are_keys(clause: str, operator: int, values: list[Any], negate: bool) -> None:
    text = f"{HEAD}rules: [{{name: r, when: [{{attribute: t, {clause}}}], serve: b}}]"
    (read,) = parse_flag_file("f.yaml", text).flag.rules[0].clauses
    assert (read.operator, read.negate) == (operator, negate)
    plain = [getattr(value, value.WhichOneof("kind") or "") for value in read.values]
    assert plain == values


def bad_files() -> list[Any]:
    """Read bad_flag_files.txt: `=== name`, a flag file, `>>>`, and the problems expected."""
    content = Path(__file__).with_name("bad_flag_files.txt").read_text(encoding="utf-8")
    cases = []
    for block in content.split("=== ")[1:]:
        name, _, rest = block.partition("\n")
        text, _, problems = rest.partition(">>>\n")
        cases.append(pytest.param(text, problems.split("\n")[:-1], id=name))
    return cases


@pytest.mark.parametrize(("text", "problems"), bad_files())
def test_all_problems_are_named_with_place_and_fix(text: str, problems: list[str]) -> None:
    with pytest.raises(FlagFileError) as failure:
        parse_flag_file("f.yaml", text)
    assert str(failure.value).splitlines() == [f"f.yaml:{line}" for line in problems if line]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"x\.yaml: cannot be read \(No such file or dir"):
        read_flag_file(tmp_path / "x.yaml")


def test_a_file_must_be_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"flag: f\ndescription: \xe9\n")
    with pytest.raises(FlagFileError, match=r"f\.yaml:2:14: is not UTF-8 text: save the file as"):
        read_flag_file(file)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + HEAD.encode())
    assert read_flag_file(file).flag.key == "f"


def test_an_error_found_later_has_its_place() -> None:
    flag_file = parse_flag_file("f.yaml", HEAD)
    assert str(flag_file.error(("variants", "b"), "is immutable")) == (
        "f.yaml:3:22: variants.b: is immutable"
    )


def test_a_flag_is_written_as_people_write_it() -> None:
    flag = parse_flag_file("chat-model.yaml", CHAT_MODEL).flag
    assert format_flag_file(flag) == (
        "flag: chat-model\n"
        "default: v1\n"
        "variants:\n"
        "  v1: {endpoint: http://10.0.0.7:8000, price_per_mtok: {in: 0.05, out: 0.08}, "
        "provider: vllm}\n"
        "  v2: {endpoint: http://10.0.0.9:8000, price_per_mtok: {in: 0.05, out: 0.08}, "
        "provider: vllm}\n"
        "split: {v1: 95%, v2: 5%}\n"
        "rules:\n"
        "  - name: staff\n"
        "    when:\n"
        "      - {attribute: team, in: [platform, eval]}\n"
        "    serve: v2\n"
    )


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "no",
        "on",
        "~",
        "null",
        "true",
        "1",
        "1.0",
        "0x1",
        "2026-01-31",
        "<<",
        "=",
        "- a",
        "a: b",
        "#",
    ]
)
keys = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True) | st.sampled_from(
    ["1", "on", "1e5"]
)
numbers = st.integers(-(1 << 53), 1 << 53).map(float) | st.floats(
    allow_nan=False, allow_infinity=False
)
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
directions = flag_pb2.Direction.values()
names = texts.map(lambda text: text or "x")


def _struct(value: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(value)
    return struct


@st.composite
def clauses(draw: st.DrawFn) -> flag_pb2.Clause:
    operator = draw(st.sampled_from(range(1, 10)))
    if operator == flag_pb2.OPERATOR_EXISTS:
        items: st.SearchStrategy[list[Value]] = st.just([])
    else:
        if operator == flag_pb2.OPERATOR_IN:
            kinds = texts.map(_text) | numbers.map(_number) | st.booleans().map(_bool)
        elif operator <= flag_pb2.OPERATOR_ENDS_WITH:
            kinds = texts.map(_text)
        else:
            kinds = numbers.map(_number)
        items = st.lists(kinds, min_size=1, max_size=3)
    return flag_pb2.Clause(
        attribute=draw(names),
        operator=flag_pb2.Operator.ValueType(operator),
        values=draw(items),
        negate=draw(st.booleans()),
    )


def _text(text: str) -> Value:
    return Value(string_value=text)


def _number(number: float) -> Value:
    return Value(number_value=number)


def _bool(truth: bool) -> Value:
    return Value(bool_value=truth)


@st.composite
def flags(draw: st.DrawFn) -> flag_pb2.Flag:
    variants = draw(st.lists(keys, min_size=1, max_size=3, unique=True))
    variant = st.sampled_from(variants)
    cuts = sorted(
        draw(st.lists(st.integers(0, PPM), min_size=len(variants) - 1, max_size=len(variants) - 1))
    )
    shares = [end - start for start, end in zip([0, *cuts], [*cuts, PPM], strict=True)]
    key = draw(keys)
    return flag_pb2.Flag(
        key=key,
        description=draw(texts),
        default_variant=draw(variant),
        variants=[
            flag_pb2.Variant(
                key=name, value=_struct(draw(st.dictionaries(texts, values, max_size=3)))
            )
            for name in variants
        ],
        split=[
            flag_pb2.SplitShare(variant=name, share_ppm=ppm)
            for name, ppm in zip(variants, shares, strict=True)
        ],
        rules=[
            flag_pb2.Rule(
                name=name,
                clauses=draw(st.lists(clauses(), min_size=1, max_size=3)),
                variant=draw(variant),
            )
            for name in draw(st.lists(names, max_size=2, unique=True))
        ],
        overrides=[
            flag_pb2.Override(unit_id=unit_id, variant=draw(variant))
            for unit_id in draw(st.lists(names, max_size=3, unique=True))
        ],
        killed=draw(st.booleans()),
        salt=draw(st.just(key) | names),
        metrics=[
            flag_pb2.Metric(outcome=outcome, direction=draw(st.sampled_from(directions)))
            for outcome in draw(st.lists(keys, max_size=2, unique=True))
        ],
    )


@given(flags())
@settings(max_examples=100, deadline=None)
def test_what_is_written_reads_back_as_the_same_flag(flag: flag_pb2.Flag) -> None:
    back = parse_flag_file("f.yaml", format_flag_file(flag)).flag
    back.salt = back.salt or back.key  # left out where it is the key, as on create
    assert back == flag
