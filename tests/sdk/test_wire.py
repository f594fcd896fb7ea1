import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sdk import strategies
from tests.sdk.flags import (
    V1,
    V2,
    deletion,
    make_change,
    make_flag,
    make_segment,
    make_snapshot,
)
from tidegate import wire
from tidegate.errors import WireError
from tidegate.evaluation import CompiledSnapshot
from tidegate.explanation import explain
from tidegate.model import (
    BUCKETS,
    PPM,
    Allocation,
    Clause,
    Direction,
    Flag,
    FlagChange,
    FlagKey,
    HoldoutChange,
    LayerSlot,
    Metric,
    Operator,
    Override,
    Phase,
    Prerequisite,
    Reason,
    Revision,
    Rule,
    RuleSplit,
    Segment,
    SegmentChange,
    SegmentKey,
    Snapshot,
    SplitShare,
    Variant,
    VariantKey,
)
from tidegate.structs import struct_from_json
from tidegate.targeting import compile_segment
from tidegate.v1 import assignment_service_pb2, flag_pb2, segment_pb2

texts = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.integers(-(1 << 53), 1 << 53) | st.floats(allow_nan=False)
attribute_values = texts | st.booleans() | numbers
variant_keys = st.builds(VariantKey, texts)
segment_keys = st.builds(SegmentKey, texts)
ALL_V1 = Allocation((0,), (V1,))
json_objects = st.dictionaries(
    texts, attribute_values | st.none() | st.lists(attribute_values, max_size=2), max_size=3
)
times = st.none() | st.datetimes(timezones=st.just(UTC))


def tuples(items: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, min_size=least, max_size=3).map(tuple)


@st.composite
def allocations(draw: st.DrawFn) -> Allocation:
    starts = draw(st.lists(st.integers(1, BUCKETS - 1), max_size=4, unique=True))
    owners = draw(st.lists(variant_keys, min_size=len(starts) + 1, max_size=len(starts) + 1))
    return Allocation((0, *sorted(starts)), tuple(owners))


clauses = tuples(
    st.builds(Clause, texts, st.sampled_from(Operator), tuples(attribute_values), st.booleans()),
    1,
)
splits = tuples(st.builds(SplitShare, variant_keys, st.integers(0, PPM)))
flags = st.builds(
    Flag,
    key=st.builds(FlagKey, texts),
    variants=tuples(st.builds(Variant, variant_keys, json_objects), 1),
    default=variant_keys,
    split=splits,
    salt=texts,
    allocation=allocations(),
    phase=st.integers(1, 1 << 62).map(Phase),
    revision=st.integers(0, 1 << 62).map(Revision),
    rules=tuples(
        st.builds(Rule, texts, clauses, variant_keys | st.builds(RuleSplit, splits, allocations()))
    ),
    overrides=tuples(st.builds(Override, texts, variant_keys)),
    killed=st.booleans(),
    description=texts,
    metrics=tuples(st.builds(Metric, texts, st.sampled_from(Direction))),
    create_time=times,
    update_time=times,
    enrolment_ppm=st.integers(0, PPM),
    layer=st.none() | st.builds(LayerSlot, texts, st.integers(0, PPM), allocations()),
    prerequisites=tuples(st.builds(Prerequisite, st.builds(FlagKey, texts), tuples(variant_keys))),
    unit_attribute=texts,
    ignores_holdout=st.booleans(),
)
segments = st.builds(
    Segment,
    key=segment_keys,
    revision=st.integers(0, 1 << 62).map(Revision),
    included=st.frozensets(texts, max_size=3),
    excluded=st.frozensets(texts, max_size=3),
    rules=tuples(clauses),
    description=texts,
    create_time=times,
    update_time=times,
)


def refuse(error: WireError) -> None:
    raise AssertionError(error)


@given(flags)
def test_flags_come_back_equal_through_their_bytes(flag: Flag) -> None:
    payload = wire.flag_to_message(flag).SerializeToString()
    assert wire.flag_from_message(flag_pb2.Flag.FromString(payload)) == flag


@given(segments)
def test_segments_come_back_equal_through_their_bytes(segment: Segment) -> None:
    payload = wire.segment_to_message(segment).SerializeToString()
    assert wire.segment_from_message(segment_pb2.Segment.FromString(payload)) == segment


def test_every_field_of_a_segment_has_a_field_in_the_message() -> None:
    segment = make_segment(
        "beta",
        included=frozenset({"u"}),
        excluded=frozenset({"v"}),
        rules=((Clause("a", Operator.EXISTS),),),
        description="text",
        create_time=datetime(2026, 1, 2, tzinfo=UTC),
        update_time=datetime(2026, 1, 3, tzinfo=UTC),
    )
    message = wire.segment_to_message(segment)
    assert len(message.ListFields()) == len(dataclasses.fields(Segment))


def test_every_field_of_a_flag_has_a_field_in_the_message() -> None:
    flag = make_flag(
        rules=(Rule("r", (Clause("a", Operator.IN, ("x",), negate=True),), V1),),
        overrides=(Override("u", V2),),
        enrolment_ppm=0,
        layer=LayerSlot("checkout", 5, ALL_V1),
        prerequisites=(Prerequisite(FlagKey("other"), (V1,)),),
        unit_attribute="account",
        ignores_holdout=True,
        killed=True,
        description="text",
        metrics=(Metric("rating", Direction.HIGHER),),
        create_time=datetime(2026, 1, 2, tzinfo=UTC),
        update_time=datetime(2026, 1, 3, tzinfo=UTC),
    )
    message = wire.flag_to_message(flag)
    assert len(message.ListFields()) == len(dataclasses.fields(Flag))


def test_a_draft_can_be_read() -> None:
    message = flag_pb2.Flag(key="chat-model", default_variant="nobody-knows")
    draft = wire.flag_from_message(message)
    assert (draft.key, draft.default) == ("chat-model", "nobody-knows")
    assert (draft.phase, draft.revision, draft.salt) == (0, 0, "")
    assert draft.allocation == Allocation((), ())


def broken(**fields: Any) -> flag_pb2.Flag:
    """Return a good flag's message, with some fields replaced; None empties one."""
    message = wire.flag_to_message(make_flag())
    for name, value in fields.items():
        message.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            message.MergeFrom(flag_pb2.Flag(**{name: value}))
    return message


def allocation(starts: list[int], variants: list[str]) -> flag_pb2.Allocation:
    return flag_pb2.Allocation(starts=starts, variants=variants)


def rule(**clause: Any) -> list[flag_pb2.Rule]:
    return [flag_pb2.Rule(name="r", variant="v1", clauses=[flag_pb2.Clause(**clause)])]


def slot(**fields: Any) -> flag_pb2.LayerSlot:
    return flag_pb2.LayerSlot(layer="checkout", **fields)


def split_rule(ranges: flag_pb2.Allocation, ppm: int = PPM) -> flag_pb2.Rule:
    shares = [flag_pb2.SplitShare(variant="v1", share_ppm=ppm)]
    split = flag_pb2.RuleSplit(shares=shares, allocation=ranges)
    return flag_pb2.Rule(name="r", clauses=[flag_pb2.Clause(operator=9)], split=split)  # type: ignore[arg-type]


WRONG = [
    ({"phase": 0}, "phase"),
    ({"phase": -1}, "phase"),
    ({"revision": -1}, "revision"),
    ({"split": [flag_pb2.SplitShare(variant="v1", share_ppm=-1)]}, r"split\[0\]\.share_ppm"),
    ({"split": [flag_pb2.SplitShare(share_ppm=1_000_001)]}, r"split\[0\]\.share_ppm"),
    ({"allocation": allocation([0, 5], ["v1"])}, "allocation"),
    ({"allocation": allocation([1], ["v1"])}, r"allocation\.starts\[0\]"),
    ({"allocation": allocation([0, 5, 5], ["v1", "v2", "v1"])}, r"allocation\.starts\[2\]"),
    ({"rules": rule(operator=1, values=[{"null_value": 0}])}, r"rules\[0\]\.clauses\[0\]\.values"),
    ({"enrolment_ppm": 1_000_001}, "enrolment_ppm"),
    ({"layer": slot(share_ppm=-1)}, r"layer\.share_ppm"),
    ({"layer": slot(share_ppm=1, allocation=allocation([1], ["v1"]))}, r"layer\.allocation"),
    ({"rules": [split_rule(allocation([1], ["v1"]))]}, r"rules\[0\]\.split\.allocation"),
    ({"rules": [split_rule(flag_pb2.Allocation(), -1)]}, r"rules\[0\]\.split\.shares\[0\]"),
]
UNKNOWN = [
    ({"rules": rule(operator=99)}, r"rules\[0\]\.clauses\[0\]\.operator: 99"),
    ({"rules": rule(operator=0)}, r"rules\[0\]\.clauses\[0\]\.operator: 0"),
    ({"metrics": [flag_pb2.Metric(direction=99)]}, r"metrics\[0\]\.direction: 99"),  # type: ignore[arg-type]
]
INCOMPLETE = [
    ({"allocation": None, "phase": None}, r"allocation: is empty"),
    ({"allocation": allocation([0], ["v9"])}, r"allocation\.variants\[0\].*'v9'"),
    ({"default_variant": "v9"}, r"default_variant.*'v9'"),
    ({"overrides": [flag_pb2.Override(unit_id="u", variant="v9")]}, r"overrides\[0\]\.variant"),
    ({"rules": [flag_pb2.Rule(name="r", variant="v9")]}, r"rules\[0\]\.variant"),
    ({"rules": [flag_pb2.Rule(name="r", variant="v1")]}, r"rules\[0\]\.clauses"),
    ({"rules": [split_rule(allocation([0], ["v9"]))]}, r"split\.allocation\.variants\[0\].*'v9'"),
    ({"rules": [split_rule(flag_pb2.Allocation())]}, r"rules\[0\]\.split\.allocation: is empty"),
    ({"layer": slot(share_ppm=1)}, r"layer\.allocation: is empty"),
]


@pytest.mark.parametrize(("fields", "words"), WRONG + UNKNOWN)
def test_what_is_impossible_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(WireError, match=words):
        wire.flag_from_message(broken(**fields))


def test_an_impossible_time_is_named() -> None:
    message = broken()
    message.update_time.seconds = 1 << 60
    with pytest.raises(WireError, match="update_time"):
        wire.flag_from_message(message)


@pytest.mark.parametrize(("fields", "words"), WRONG + INCOMPLETE)
def test_a_flag_that_cannot_be_read_is_left_out_and_reported(
    fields: dict[str, Any], words: str
) -> None:
    errors: list[WireError] = []
    message = wire.snapshot_to_message(make_snapshot(make_flag("other"), revision=4))
    message.flags.append(broken(**fields))
    snapshot = wire.snapshot_from_message(message, errors.append)
    assert list(snapshot.flags) == ["other"]
    changed = assignment_service_pb2.FlagChange(revision=5, flag=broken(**fields))
    assert wire.change_from_message(changed, errors.append) == deletion(5, "chat-model")
    assert len(errors) == 2
    for error in errors:
        with pytest.raises(WireError, match=f"flag 'chat-model': .*{words}"):
            raise error


def test_a_segment_that_cannot_be_read_is_left_out_and_reported() -> None:
    errors: list[WireError] = []
    broken = segment_pb2.Segment(key="beta", revision=-1)
    message = wire.snapshot_to_message(make_snapshot(segments=(make_segment("other"),)))
    message.segments.append(broken)
    assert list(wire.snapshot_from_message(message, errors.append).segments) == ["other"]
    changed = assignment_service_pb2.FlagChange(revision=5, segment=broken)
    change = wire.change_from_message(changed, errors.append)
    assert change == SegmentChange(Revision(5), SegmentKey("beta"), None)
    assert len(errors) == 2
    for error in errors:
        with pytest.raises(WireError, match="segment 'beta': revision: -1"):
            raise error


def test_an_operator_of_a_segment_that_is_not_known() -> None:
    clause = flag_pb2.Clause(attribute="a", operator=99)  # type: ignore[arg-type]
    message = segment_pb2.Segment(
        key="beta", revision=1, rules=[segment_pb2.SegmentRule(clauses=[clause])]
    )
    with pytest.raises(WireError, match=r"rules\[0\]\.clauses\[0\]\.operator: 99"):
        wire.segment_from_message(message)
    segment = wire.segment_from_message(message, newer_server=True)
    assert not compile_segment(segment)({"a": "x"}, "user-1")


@pytest.mark.parametrize("negate", [False, True])
def test_an_operator_of_a_newer_server_never_matches(negate: bool) -> None:
    clause = {"attribute": "a", "operator": 99, "values": [{"string_value": "x"}]}
    message = assignment_service_pb2.FlagChange(
        revision=2, flag=broken(rules=rule(**clause, negate=negate))
    )
    change = wire.change_from_message(message, refuse)
    compiled = CompiledSnapshot(make_snapshot()).apply(change)
    for attributes in ({"a": "x"}, {"a": "y"}, {}):
        assert compiled.evaluate("chat-model", "user-1", attributes).reason is Reason.SPLIT


FLAG_FIELDS = [field.name for field in flag_pb2.Flag.DESCRIPTOR.fields]


@settings(deadline=None)
@given(
    strategies.snapshots(),
    st.lists(st.sampled_from(FLAG_FIELDS), max_size=4),
    st.lists(st.integers(-(1 << 31), (1 << 31) - 1), max_size=4),
    strategies.attributes,
)
def test_what_a_newer_server_says_otherwise_never_raises(
    snapshot: Snapshot,
    cleared: list[str],
    numbers: list[int],
    attributes: dict[str, Any] | None,
) -> None:
    message = wire.snapshot_to_message(snapshot)
    clauses = [clause for flag in message.flags for rule in flag.rules for clause in rule.clauses]
    for clause, number in zip(clauses, numbers, strict=False):
        clause.operator = number  # type: ignore[assignment]
    for flag, field in zip(message.flags, cleared, strict=False):
        flag.ClearField(field)  # type: ignore[arg-type]
    read = wire.snapshot_from_message(message, lambda _: None)
    compiled = CompiledSnapshot(read)
    for key in snapshot.flags:
        found = compiled.evaluate(key, "user-1", attributes)
        assert (found.reason is Reason.FLAG_NOT_FOUND) is (key not in read.flags)


def test_a_direction_of_a_newer_server_is_unknown() -> None:
    metrics = [flag_pb2.Metric(outcome="x", direction=99)]  # type: ignore[arg-type]
    message = assignment_service_pb2.FlagChange(revision=2, flag=broken(metrics=metrics))
    change = wire.change_from_message(message, refuse)
    assert isinstance(change, FlagChange)
    assert change.flag is not None
    assert change.flag.metrics == (Metric("x", Direction.UNKNOWN),)


def test_snapshots_come_back_equal_and_sorted() -> None:
    snapshot = make_snapshot(
        make_flag("b"),
        make_flag("a"),
        revision=7,
        segments=(make_segment("d"), make_segment("c")),
        holdout_ppm=5,
    )
    message = wire.snapshot_to_message(snapshot)
    assert [flag.key for flag in message.flags] == ["a", "b"]
    assert [segment.key for segment in message.segments] == ["c", "d"]
    assert wire.snapshot_from_message(message, refuse) == snapshot


def test_changes_come_back_equal() -> None:
    key = SegmentKey("beta")
    for change in (
        make_change(3, make_flag()),
        deletion(4, "chat-model"),
        SegmentChange(Revision(5), key, make_segment("beta")),
        SegmentChange(Revision(6), key, None),
        HoldoutChange(Revision(7), 0),
        HoldoutChange(Revision(8), PPM),
    ):
        assert wire.change_from_message(wire.change_to_message(change), refuse) == change


def test_a_change_of_nothing_is_named() -> None:
    with pytest.raises(WireError, match=r"change: nothing"):
        wire.change_from_message(assignment_service_pb2.FlagChange(revision=3), refuse)
    with pytest.raises(WireError, match=r"change\.revision"):
        wire.change_from_message(assignment_service_pb2.FlagChange(deleted_key="x"), refuse)
    impossible = assignment_service_pb2.FlagChange(revision=3, holdout_ppm=PPM + 1)
    with pytest.raises(WireError, match=r"change\.holdout_ppm"):
        wire.change_from_message(impossible, refuse)
    with pytest.raises(WireError, match=r"snapshot\.holdout_ppm"):
        wire.snapshot_from_message(assignment_service_pb2.FlagSnapshot(holdout_ppm=-1), refuse)
    with pytest.raises(WireError, match=r"snapshot\.revision"):
        wire.snapshot_from_message(assignment_service_pb2.FlagSnapshot(revision=-1), refuse)


@pytest.mark.parametrize("reason", Reason)
def test_reasons_come_back_equal(reason: Reason) -> None:
    number = wire.reason_to_number(reason)
    assert assignment_service_pb2.Reason.Name(number) == f"REASON_{reason.value}"
    assert wire.reason_from_number(number) is reason


@pytest.mark.parametrize("number", [0, 99])
def test_an_unknown_reason_is_named(number: int) -> None:
    with pytest.raises(WireError, match=f"reason: {number}"):
        wire.reason_from_number(number)


def test_assignments() -> None:
    compiled = CompiledSnapshot(make_snapshot(make_flag(shares=(100,)), revision=5))
    message = wire.assignment_to_message(compiled.evaluate("chat-model", "user-1"))
    assert message == assignment_service_pb2.Assignment(
        variant="v1",
        value=struct_from_json({"model": "llama-v1", "tags": ["v1"]}),
        reason=assignment_service_pb2.REASON_SPLIT,
        revision=5,
        phase=1,
    )
    nothing = wire.assignment_to_message(compiled.evaluate("chat", "user-1"))
    assert not nothing.HasField("value")
    assert nothing.reason == assignment_service_pb2.REASON_FLAG_NOT_FOUND


def test_explanations() -> None:
    compiled = CompiledSnapshot(make_snapshot(make_flag(shares=(100,)), revision=5))
    message = wire.explanation_to_message(explain(compiled, "chat-model", "user-1"))
    given = compiled.evaluate("chat-model", "user-1")
    assert message.assignment == wire.assignment_to_message(given)
    off, split = message.steps
    assert (off.subject, off.name, off.decided, off.detail) == ("kill switch", "", False, "off")
    assert (split.subject, split.decided) == ("split", True)
    unknown = wire.explanation_to_message(explain(compiled, "chat", "user-1"))
    assert [(step.subject, step.name) for step in unknown.steps] == [("flag", "chat")]


def test_attributes() -> None:
    attributes = {"team": "eval", "age": 3, "score": 0.5, "staff": True, "tags": ["a"]}
    assert wire.attributes_from_struct(wire.attributes_to_struct(attributes)) == attributes
    with pytest.raises(WireError, match=r"attributes\.x"):
        wire.attributes_to_struct({"x": object()})
