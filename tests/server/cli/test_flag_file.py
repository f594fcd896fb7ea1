from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.model import PPM
from tidegate.v1 import flag_pb2
from tidegate_server.cli.document_file import DocumentError
from tidegate_server.cli.flag_file import format_flag_file, parse_flag_file, read_flag_file
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
        ("matches: ['^a+$', b]", flag_pb2.OPERATOR_MATCHES, ["^a+$", "b"], False),
        ("not_matches: a", flag_pb2.OPERATOR_MATCHES, ["a"], True),
        ("version_equal: v2", flag_pb2.OPERATOR_VERSION_EQUAL, ["v2"], False),
        ("version_less: '2.0'", flag_pb2.OPERATOR_VERSION_LESS, ["2.0"], False),
        ("version_less_or_equal: 1.2.3", flag_pb2.OPERATOR_VERSION_LESS_OR_EQUAL, ["1.2.3"], False),
        ("version_greater: 1.2.3", flag_pb2.OPERATOR_VERSION_GREATER, ["1.2.3"], False),
        (
            "version_greater_or_equal: 1.2.3-rc.1",
            flag_pb2.OPERATOR_VERSION_GREATER_OR_EQUAL,
            ["1.2.3-rc.1"],
            False,
        ),
        ("before: 2026-01-31", flag_pb2.OPERATOR_BEFORE, ["2026-01-31"], False),
        ("after: 2026-01-31T12:00:00Z", flag_pb2.OPERATOR_AFTER, ["2026-01-31T12:00:00Z"], False),
    ],
)
def test_operators_are_keys(clause: str, operator: int, values: list[Any], negate: bool) -> None:
    text = f"{HEAD}rules: [{{name: r, when: [{{attribute: t, {clause}}}], serve: b}}]"
    (read,) = parse_flag_file("f.yaml", text).flag.rules[0].clauses
    assert (read.operator, read.negate) == (operator, negate)
    plain = [getattr(value, value.WhichOneof("kind") or "") for value in read.values]
    assert plain == values


def test_several_operators_of_one_item_are_clauses_that_must_all_hold() -> None:
    when = "{attribute: age, greater_or_equal: 18, less: 65}, {segment: x, not_segment: [y, z]}"
    text = f"{HEAD}rules: [{{name: r, when: [{when}], serve: b}}]"
    adult, young, inside, outside = parse_flag_file("f.yaml", text).flag.rules[0].clauses
    assert (adult.operator, young.operator) == (
        flag_pb2.OPERATOR_LESS,
        flag_pb2.OPERATOR_GREATER_OR_EQUAL,
    )
    assert {each.attribute for each in (adult, young)} == {"age"}
    assert inside == flag_pb2.Clause(
        operator=flag_pb2.OPERATOR_IN_SEGMENT, values=[Value(string_value="x")]
    )
    assert (len(outside.values), outside.negate, outside.attribute) == (2, True, "")


def test_who_takes_part_is_read() -> None:
    flag = parse_flag_file(
        "f.yaml",
        HEAD + "enrolment: 50%\nlayer: {name: checkout, share: 30%}\nunit: account_id\n"
        "ignore_holdout: true\nprerequisites: [{flag: g, in: [v2, v3]}, {flag: h, in: on}]\n"
        "rules: [{name: r, when: [{segment: x}], split: {b: 12.5%, a: 87.5%}}]\n",
    ).flag
    assert flag.enrolment_ppm == 500_000
    assert (flag.layer.layer, flag.layer.share_ppm) == ("checkout", 300_000)
    assert (flag.unit_attribute, flag.ignores_holdout) == ("account_id", True)
    assert [(each.flag_key, list(each.variants)) for each in flag.prerequisites] == [
        ("g", ["v2", "v3"]),
        ("h", ["on"]),
    ]
    assert [(each.variant, each.share_ppm) for each in flag.rules[0].split.shares] == [
        ("b", 125_000),
        ("a", 875_000),
    ]


def test_nobody_enrolled_is_not_everybody() -> None:
    flag = parse_flag_file("f.yaml", HEAD + "enrolment: 0%\n").flag
    assert (flag.HasField("enrolment_ppm"), flag.enrolment_ppm) == (True, 0)
    assert "enrolment: 0%\n" in format_flag_file(flag)


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
    with pytest.raises(DocumentError) as failure:
        parse_flag_file("f.yaml", text)
    assert str(failure.value).splitlines() == [f"f.yaml:{line}" for line in problems if line]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"x\.yaml: cannot be read \(No such file or dir"):
        read_flag_file(tmp_path / "x.yaml")


def test_a_file_must_be_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"flag: f\ndescription: \xe9\n")
    with pytest.raises(DocumentError, match=r"f\.yaml:2:14: is not UTF-8 text: save the file as"):
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


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("rules[0].clauses[1].values[0]: is wrong", "5:69: rules[0].when[0].greater[0]: is wrong"),
        ("rules[0].clauses[2].values[1]: is wrong", "5:87: rules[0].when[1].segment[1]: is wrong"),
        ("layer.share_ppm: is wrong", "6:28: layer.share: is wrong"),
        ("layer.layer: is wrong", "6:15: layer.name: is wrong"),
        ("prerequisites[0].flag_key: is wrong", "7:24: prerequisites[0].flag: is wrong"),
        ("prerequisites[0].variants[1]: is wrong", "7:35: prerequisites[0].in[1]: is wrong"),
        ("variants[1].value: is wrong", "3:22: variants.b: is wrong"),
        ("default_variant: is wrong", "2:10: default: is wrong"),
        ("split: is wrong", "4:8: split: is wrong"),
    ],
)
def test_what_the_server_refuses_has_its_place(message: str, line: str) -> None:
    text = (
        HEAD + "rules: [{name: r, serve: a, when: [{attribute: t, less: 1, greater: 0}, "
        "{segment: [x, y]}]}]\n"
        "layer: {name: chat, share: 5%}\nprerequisites: [{flag: g, in: [x, y]}]\n"
    )
    assert str(parse_flag_file("f.yaml", text).refused(message)) == f"f.yaml:{line}"


def test_a_refusal_that_names_no_field_names_the_file() -> None:
    refused = parse_flag_file("f.yaml", HEAD).refused("Too large: 5 bytes")
    assert str(refused) == "f.yaml: Too large: 5 bytes"


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


CLAUSE_VALUES = {
    flag_pb2.OPERATOR_EXISTS: None,
    flag_pb2.OPERATOR_IN: texts | numbers | st.booleans(),
    **dict.fromkeys(range(2, 5), texts),
    **dict.fromkeys(range(5, 9), numbers),
    flag_pb2.OPERATOR_MATCHES: st.sampled_from(["", "a", "^(a|b)+$", "[0-9]{2,3}", "# x"]),
    **dict.fromkeys(range(11, 16), st.sampled_from(["1", "v2.0", "1.2.3-rc.1+7", "0.1"])),
    **dict.fromkeys(range(16, 18), st.sampled_from(["2026-01-31", "2026-01-31T12:00:00+01:00"])),
    flag_pb2.OPERATOR_IN_SEGMENT: keys,
}
"""What each operator is compared with."""


@st.composite
def clauses(draw: st.DrawFn) -> flag_pb2.Clause:
    operator = draw(st.sampled_from(sorted(CLAUSE_VALUES)))
    kinds = CLAUSE_VALUES[operator]
    items = [] if kinds is None else draw(st.lists(kinds, min_size=1, max_size=3))
    return flag_pb2.Clause(
        attribute="" if operator == flag_pb2.OPERATOR_IN_SEGMENT else draw(names),
        operator=flag_pb2.Operator.ValueType(operator),
        values=map(_value, items),
        negate=draw(st.booleans()),
    )


def _value(value: str | float | bool) -> Value:
    if isinstance(value, str):
        return Value(string_value=value)
    return Value(bool_value=value) if isinstance(value, bool) else Value(number_value=value)


@st.composite
def splits(draw: st.DrawFn, variants: list[str]) -> list[flag_pb2.SplitShare]:
    count = len(variants) - 1
    cuts = sorted(draw(st.lists(st.integers(0, PPM), min_size=count, max_size=count)))
    return [
        flag_pb2.SplitShare(variant=name, share_ppm=end - start)
        for name, start, end in zip(variants, [0, *cuts], [*cuts, PPM], strict=True)
    ]


@st.composite
def rules(draw: st.DrawFn, variants: list[str]) -> list[flag_pb2.Rule]:
    result = []
    for name in draw(st.lists(names, max_size=2, unique=True)):
        rule = flag_pb2.Rule(name=name, clauses=draw(st.lists(clauses(), min_size=1, max_size=3)))
        if draw(st.booleans()):
            rule.variant = draw(st.sampled_from(variants))
        else:
            rule.split.shares.extend(draw(splits(variants)))
        result.append(rule)
    return result


@st.composite
def layers(draw: st.DrawFn) -> flag_pb2.LayerSlot:
    return flag_pb2.LayerSlot(layer=draw(keys), share_ppm=draw(st.integers(1, PPM)))


@st.composite
def flags(draw: st.DrawFn) -> flag_pb2.Flag:
    variants = draw(st.lists(keys, min_size=1, max_size=3, unique=True))
    variant = st.sampled_from(variants)
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
        split=draw(splits(variants)),
        rules=draw(rules(variants)),
        enrolment_ppm=draw(st.none() | st.integers(0, PPM - 1)),
        layer=draw(st.none() | layers()),
        unit_attribute=draw(st.just("") | names),
        ignores_holdout=draw(st.booleans()),
        prerequisites=[
            flag_pb2.Prerequisite(
                flag_key=other, variants=draw(st.lists(keys, min_size=1, max_size=2))
            )
            for other in draw(st.lists(keys, max_size=2, unique=True))
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
