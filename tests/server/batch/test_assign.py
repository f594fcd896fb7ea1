import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sdk.flags import V1, V2, V3, boundary, make_flag
from tidegate.bucketing import LONGEST_UNIT_ID, bucket
from tidegate.evaluation import CompiledSnapshot
from tidegate.model import (
    Allocation,
    Clause,
    Flag,
    FlagKey,
    Operator,
    Override,
    Prerequisite,
    Reason,
    Rule,
    RuleSplit,
    Snapshot,
    SplitShare,
)
from tidegate_server.batch import BatchAssignment, assign_many, outcomes
from tidegate_server.errors import ConfigurationError, InvalidField

PRO = Rule("pro", (Clause("plan", Operator.IN, ("pro", "team")),), V2)
OLD = Rule("old", (Clause("age", Operator.GREATER, (40,)),), V3)
TARGETED = make_flag(
    rules=(PRO, OLD), overrides=(Override("user-7", V3), Override("Zoë", V2), Override("x", V1))
)
ODD = [
    None,
    "",
    "x",
    "Zoë",
    "\ud800",
    5,
    b"user",
    float("nan"),
    "\0",
    "a\0",
    "é" * LONGEST_UNIT_ID,
    "x" * LONGEST_UNIT_ID,
    "x" * (LONGEST_UNIT_ID + 1),
    "é" * (LONGEST_UNIT_ID + 1),
    "日本語のユーザー",
    "🙂",
]


def expected(
    flag: Flag, units: list[Any], attributes: list[Mapping[str, Any] | None]
) -> list[tuple[str, Reason]]:
    compiled = CompiledSnapshot(Snapshot(flag.revision, {flag.key: flag}))
    given = [compiled.evaluate(flag.key, *pair) for pair in zip(units, attributes, strict=True)]
    return [(assignment.variant, assignment.reason) for assignment in given]


def found(batch: BatchAssignment) -> list[tuple[str, Reason]]:
    return [
        (batch.variants[variant] if variant >= 0 else "", batch.reasons[reason])
        for variant, reason in zip(batch.indices, batch.reason_indices, strict=True)
    ]


def check(flag: Flag, array: Any, units: list[Any]) -> None:
    assert found(assign_many(flag, array)) == expected(flag, units, [None] * len(units))


def test_object_arrays_agree_with_evaluation_on_every_id_valid_or_not() -> None:
    array = np.empty(len(ODD), object)
    array[:] = ODD
    check(TARGETED, array, ODD)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_arrow_arrays_agree_with_evaluation_on_every_id_valid_or_not(kind: Any) -> None:
    units = [unit for unit in ODD if unit is None or (type(unit) is str and unit != "\ud800")]
    check(TARGETED, pa.array(units, kind), units)


def test_fixed_width_arrays_agree_with_evaluation() -> None:
    units = ["", "x", "Zoë", "\ud800", "user-7", "a\0b", "long" * 300]
    check(TARGETED, np.array(units), units)
    ascii_units = ["", "x", "user-7", "a\0b", "abc", "abcd", "abcde"]
    check(TARGETED, np.array(ascii_units), ascii_units)
    check(TARGETED, np.array(ascii_units).astype(">U9"), ascii_units)
    check(
        TARGETED,
        np.array([f"user-{i}" for i in range(40)])[::3],
        [f"user-{i}" for i in range(0, 40, 3)],
    )


def test_variable_width_arrays_agree_with_evaluation() -> None:
    units = ["", "x", "Zoë", None, "user-7", "long" * 300]
    check(TARGETED, np.array(units, np.dtypes.StringDType(na_object=None)), units)


@given(st.lists(st.none() | st.text(max_size=30), max_size=60), st.text(min_size=1, max_size=9))
def test_any_ids_and_salts_agree_with_evaluation(units: list[str | None], salt: str) -> None:
    flag = replace(TARGETED, salt=salt.encode(errors="replace").decode())
    array = np.empty(len(units), object)
    array[:] = units
    check(flag, array, units)
    if all(unit is None or unit.isprintable() for unit in units):
        check(flag, pa.array(units, pa.string()), units)


def test_sliced_chunked_and_dictionary_arrays_agree_with_evaluation() -> None:
    units = [f"user-{number}" for number in range(1_000)]
    column = pa.array([None, *units, "behind"])
    check(TARGETED, column.slice(1, 1_000), units)
    check(TARGETED, pa.chunked_array([column.slice(1, 10), column.slice(11, 990)]), units)
    check(TARGETED, pa.array(units * 2).dictionary_encode(), units * 2)
    check(TARGETED, pa.chunked_array([], pa.string()), [])
    check(TARGETED, pa.table({"unit": units}).column("unit"), units)


def test_shared_attributes_choose_the_rule_for_all() -> None:
    units = [f"user-{number}" for number in range(50)]
    attributes = {"plan": "pro", "unused": object()}
    batch = assign_many(TARGETED, pa.array(units), attributes)
    assert found(batch) == expected(TARGETED, units, [attributes] * 50)
    assert batch.reasons[batch.reason_indices[7]] is Reason.OVERRIDE


def test_columns_of_attributes_choose_the_rule_for_each() -> None:
    rng = np.random.default_rng(1)
    count = 5_000
    units = [f"user-{number}" for number in range(count)]
    plans = rng.choice(["free", "pro", "team"], count)
    ages = rng.integers(30, 50, count)
    attributes = {"plan": plans, "age": ages, "country": "NL"}
    each = [
        {"plan": str(plan), "age": int(age), "country": "NL"}
        for plan, age in zip(plans, ages, strict=True)
    ]
    batch = assign_many(TARGETED, np.array(units), attributes)
    assert found(batch) == expected(TARGETED, units, list(each))


def test_columns_with_nulls_and_mixed_types_agree_with_evaluation() -> None:
    units = [f"user-{number}" for number in range(6)]
    ages = [None, 41, 41.0, True, float("nan"), "41"]
    mixed = np.empty(6, object)
    mixed[:] = [*ages[:5], ["a", "list"]]
    batch = assign_many(TARGETED, np.array(units), {"age": mixed})
    assert found(batch) == expected(TARGETED, units, [{"age": age} for age in mixed])
    numbers = pa.array([None, 41, 40, 99, None, 1])
    plans = pa.chunked_array([["pro", None, "free"], ["pro", "free", "team"]])
    batch = assign_many(TARGETED, np.array(units), {"age": numbers, "plan": plans})
    each = zip(numbers.to_pylist(), plans.to_pylist(), strict=True)
    assert found(batch) == expected(
        TARGETED, units, [{"age": age, "plan": plan} for age, plan in each]
    )


def test_the_kill_switch_gives_the_default_to_all_but_invalid_units() -> None:
    units = ["user-7", "", "x", None]
    check(replace(TARGETED, killed=True), pa.array(units), units)


def test_many_narrow_ranges_agree_with_evaluation() -> None:
    starts = tuple(range(0, 1 << 32, 1 << 26))
    flag = make_flag(allocation=Allocation(starts, (V1, V2, V3, V1) * 16))
    units = [f"user-{number}" for number in range(3_000)]
    check(flag, np.array(units), units)


@given(st.integers(0, (1 << 32) - 1))
def test_a_range_begins_with_its_first_bucket(number: int) -> None:
    at = bucket("chat-model", f"user-{number}")
    for start in {at, min(at + 1, (1 << 32) - 1)} - {0}:
        flag = make_flag(allocation=Allocation((0, start), (V1, V2)))
        check(flag, np.array([f"user-{number}"]), [f"user-{number}"])


def test_rules_with_splits_of_their_own_agree_with_evaluation() -> None:
    split = RuleSplit(
        (SplitShare(V1, 100_000), SplitShare(V3, 900_000)),
        Allocation((0, boundary(100_000)), (V1, V3)),
    )
    flag = replace(TARGETED, rules=(replace(PRO, serve=split), OLD))
    assert outcomes.covered(flag, Snapshot(flag.revision))
    units = [f"user-{number}" for number in range(3_000)]
    plans = ["pro", "free", "team"] * 1_000
    batch = assign_many(flag, np.array(units), {"plan": np.array(plans), "age": 30})
    assert found(batch) == expected(flag, units, [{"plan": plan, "age": 30} for plan in plans])
    assert len(set(found(batch))) == 6


@pytest.mark.parametrize(
    "change",
    [
        {"enrolment_ppm": 500_000},
        {"unit_attribute": "account"},
        {"prerequisites": (Prerequisite(FlagKey("other"), (V1,)),)},
    ],
    ids=str,
)
def test_features_beyond_the_tables_are_left_to_evaluation(change: dict[str, Any]) -> None:
    flag = replace(TARGETED, **change)
    assert not outcomes.covered(flag, Snapshot(flag.revision))
    units = [f"user-{number}" for number in range(300)]
    check(flag, pa.array(units), units)


def test_the_holdout_of_the_snapshot_counts() -> None:
    units = [f"user-{number}" for number in range(300)]
    snapshot = Snapshot(TARGETED.revision, {TARGETED.key: TARGETED}, holdout_ppm=500_000)
    compiled = CompiledSnapshot(snapshot)
    given = [compiled.evaluate(TARGETED.key, unit) for unit in units]
    batch = assign_many(TARGETED, np.array(units), snapshot=snapshot)
    assert found(batch) == [(assignment.variant, assignment.reason) for assignment in given]


def test_what_the_tables_do_not_cover_is_evaluated_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    units = [f"user-{number}" for number in range(300)]
    plans = np.array(["free", "pro", "team"] * 100)
    in_tables = assign_many(TARGETED, np.array(units), {"plan": plans})
    monkeypatch.setattr(outcomes, "FLAG_FIELDS", outcomes.FLAG_FIELDS - {"rules"})
    assert not outcomes.covered(TARGETED, Snapshot(TARGETED.revision))
    one_by_one = assign_many(TARGETED, np.array(units), {"plan": plans})
    assert found(one_by_one) == found(in_tables)
    check(TARGETED, pa.array(ODD[:4]), ODD[:4])


def test_an_unknown_operator_or_a_field_of_a_rule_in_use_is_not_covered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    around = Snapshot(TARGETED.revision)
    assert outcomes.covered(TARGETED, around)
    monkeypatch.setattr(outcomes, "OPERATORS", outcomes.OPERATORS - {Operator.GREATER})
    assert not outcomes.covered(TARGETED, around)
    monkeypatch.undo()
    monkeypatch.setattr(outcomes, "CLAUSE_FIELDS", outcomes.CLAUSE_FIELDS - {"negate"})
    assert outcomes.covered(TARGETED, around)  # not in use: it has its default
    negated = replace(PRO, clauses=(replace(PRO.clauses[0], negate=True),))
    assert not outcomes.covered(replace(TARGETED, rules=(negated,)), around)


@pytest.mark.parametrize(
    ("unit_ids", "says"),
    [
        (np.zeros((2, 2), "U3"), "unit_ids: has 2 dimensions"),
        (np.arange(3), "unit_ids: has the type int64; give strings"),
        (["user-1"], "unit_ids: is a list; give a numpy array or an Arrow array"),
        (pa.array([1, 2]), "unit_ids: is an Arrow array of int64; cast it"),
        (pa.array([b"user"]), "unit_ids: is an Arrow array of binary; cast it"),
    ],
)
def test_what_is_no_array_of_strings_is_refused(unit_ids: Any, says: str) -> None:
    with pytest.raises(InvalidField, match=says):
        assign_many(TARGETED, unit_ids)


@pytest.mark.parametrize("column", [np.array(["pro"]), pa.array(["pro"] * 3)])
def test_a_column_of_another_length_is_refused(column: Any) -> None:
    with pytest.raises(InvalidField, match=r"attributes\['plan'\]: has . rows and there are 2"):
        assign_many(TARGETED, np.array(["a", "b"]), {"plan": column})


def test_columns_of_two_dimensions_and_of_lists_are_refused() -> None:
    with pytest.raises(InvalidField, match=r"attributes\['plan'\]: has 2 dimensions"):
        assign_many(TARGETED, np.array(["a"]), {"plan": np.array([["pro"]])})
    with pytest.raises(InvalidField, match=r"attributes\['plan'\]: is an Arrow array of list"):
        assign_many(TARGETED, np.array(["a"]), {"plan": pa.array([["pro"]])})


def test_without_pyarrow_numpy_works_and_arrow_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "tidegate_server.batch.arrow")
    monkeypatch.delattr("tidegate_server.batch.arrow")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    check(TARGETED, np.array(["user-1"]), ["user-1"])
    with pytest.raises(ConfigurationError, match=r"pip install 'tidegate\[batch\]'"):
        assign_many(TARGETED, pa.array(["user-1"]))
