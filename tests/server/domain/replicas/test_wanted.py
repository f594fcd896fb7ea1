from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.domain.drafts import DRAFT, split
from tests.server.domain.experiments.samples import NOW, PLAN
from tests.server.domain.replicas.samples import V1, V2, V3, percent, wanted
from tidegate.model import PPM, Flag, LayerSlot, Override, Rule, RuleSplit, VariantKey
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.domain.replicas.wanted import Wanted, counts, replicas_for, wanted_by

STAGED = replace(PLAN, stages=tuple(replace(stage, replicas=True) for stage in PLAN.stages))


def flag(**shares: int) -> Flag:
    return replace(DRAFT, split=split(**{v: s * PPM // 100 for v, s in shares.items()}))


def experiment(state: State, *, staged: bool = True) -> Experiment:
    return Experiment(STAGED if staged else PLAN, state, 1, NOW, NOW)


@pytest.mark.parametrize(
    ("shares", "number", "expected"),
    [
        ({"v1": 95, "v2": 5}, 3, {"v1": 2, "v2": 1}),
        ({"v1": 95, "v2": 5}, 40, {"v1": 38, "v2": 2}),
        ({"v1": 95, "v2": 5}, 41, {"v1": 38, "v2": 3}),
        ({"v1": 50, "v2": 50}, 3, {"v1": 1, "v2": 2}),
        ({"v2": 100}, 3, {"v1": 1, "v2": 2}),
        ({"v1": 100}, 3, {"v1": 3}),
        ({"v1": 50, "v2": 50}, 1, {"v1": 1}),
        ({"v1": 50, "v2": 50}, 0, {}),
        ({"v1": 34, "v2": 33, "v3": 33}, 3, {"v1": 1, "v2": 1, "v3": 1}),
        ({"v1": 34, "v2": 33, "v3": 33}, 4, {"v1": 1, "v2": 2, "v3": 1}),
        ({"v1": 98, "v2": 1, "v3": 1}, 2, {"v1": 1, "v3": 0, "v2": 1}),
    ],
)
def test_a_share_gets_its_replicas_rounded_up_and_the_base_gets_the_rest(
    shares: Mapping[str, int], number: int, expected: Mapping[str, int]
) -> None:
    found = counts(wanted(percent(**shares)), number)
    assert {v: n for v, n in found.items() if n} == {v: n for v, n in expected.items() if n}


def test_what_can_serve_nothing_else_is_counted_first() -> None:
    even = wanted(percent(v1=50, v2=50))
    assert counts(even, 6, {V2: 1}) == {V1: 3, V2: 3}
    assert counts(even, 6, {V2: 5}) == {V1: 1, V2: 5}
    assert counts(even, 6, {V1: 4, V2: 2}) == {V1: 4, V2: 2}
    assert counts(wanted(percent(v1=40, v2=20, v3=40)), 6, {V2: 4}) == {V1: 1, V2: 4, V3: 1}


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=5).filter(any),
    st.integers(0, 60),
    st.sets(st.integers(0, 5)),
    st.dictionaries(st.integers(0, 4), st.integers(0, 20)),
)
def test_all_replicas_are_given_out_and_each_variant_gets_one_if_there_are_enough(
    weights: list[int], number: int, kept: set[int], fixed: Mapping[int, int]
) -> None:
    ppm = [weight * PPM // sum(weights) for weight in weights]
    shares = {VariantKey(f"v{i}"): share for i, share in enumerate(ppm) if share}
    base = VariantKey(f"v{ppm.index(max(ppm))}")
    asked = Wanted(shares, shares, base, frozenset(VariantKey(f"v{i}") for i in kept))
    stuck: dict[VariantKey, int] = {}
    for index, many in fixed.items():
        variant = VariantKey(f"v{index}")
        if variant in asked.variants and sum(stuck.values()) + many <= number:
            stuck[variant] = many
    found = counts(asked, number, stuck)
    assert sum(found.values()) == number
    assert all(found.get(v, 0) >= n for v, n in stuck.items())
    if not stuck:
        assert all(
            n <= max(1, replicas_for(shares.get(v, 0), number)) or v == base
            for v, n in found.items()
        )
        if number >= len(asked.variants):
            assert set(found) == asked.variants
            assert min(found.values()) >= 1


def test_without_an_experiment_replicas_follow_the_split() -> None:
    found = wanted_by(flag(v1=30, v2=70), 0, None)
    assert found == Wanted(percent(v1=30, v2=70), percent(v1=30, v2=70), V2)
    assert wanted_by(flag(v1=50, v2=50), 0, None).base == V1
    assert wanted_by(flag(v1=0, v2=100), 0, None).variants == {V2}


def test_a_killed_flag_wants_its_default_alone() -> None:
    killed = replace(flag(v1=5, v2=95), killed=True, overrides=(Override("u", V2),))
    assert wanted_by(killed, 0, None) == Wanted(percent(v1=100), percent(v1=100), V1)
    entering = experiment(State(Status.ENTERING, stage=1))
    assert wanted_by(killed, 0, entering).coming == percent(v1=100)


@pytest.mark.parametrize(
    ("change", "holdout", "kept"),
    [
        ({"overrides": (Override("u", V1),)}, 0, {V1}),
        ({"rules": (Rule("staff", (), V1),)}, 0, {V1}),
        (
            {"rules": (Rule("staff", (), RuleSplit(split(v1=PPM, v2=0), DRAFT.allocation)),)},
            0,
            {V1},
        ),
        ({"enrolment_ppm": 10}, 0, {V1}),
        ({"layer": LayerSlot("l", 10, DRAFT.allocation)}, 0, {V1}),
        ({}, 1, {V1}),
        ({"ignores_holdout": True}, 1, set()),
        ({}, 0, set()),
    ],
)
def test_what_is_given_beside_the_split_keeps_a_replica(
    change: dict[str, Any], holdout: int, kept: set[VariantKey]
) -> None:
    found = wanted_by(replace(flag(v2=100), **change), holdout, None)
    assert found.kept == kept
    assert counts(found, 4).get(V1, 0) == len(kept)


@pytest.mark.parametrize(
    ("status", "stage", "coming"),
    [
        (Status.PREFLIGHT, 0, {"v1": 95, "v2": 5}),
        (Status.ENTERING, 1, {"v1": 75, "v2": 25}),
        (Status.HELD, 1, {"v1": 75, "v2": 25}),
        (Status.AWAITING_APPROVAL, 0, {"v1": 95, "v2": 5}),
        (Status.PAUSED, 1, {"v1": 95, "v2": 5}),
        (Status.ROLLING_BACK, 1, {"v1": 95, "v2": 5}),
        (Status.WATCHING, 3, {"v1": 95, "v2": 5}),
    ],
)
def test_a_stage_over_replicas_wants_them_from_its_beginning(
    status: Status, stage: int, coming: Mapping[str, int]
) -> None:
    found = wanted_by(flag(v1=95, v2=5), 0, experiment(State(status, stage=stage)))
    assert found == Wanted(percent(v1=95, v2=5), percent(**coming), V1, frozenset({V1}))


def test_a_stage_of_shares_alone_does_not() -> None:
    state = State(Status.ENTERING, stage=1)
    found = wanted_by(flag(v1=95, v2=5), 0, experiment(state, staged=False))
    assert found.coming == percent(v1=95, v2=5)


def test_the_control_keeps_a_replica_until_the_experiment_is_over() -> None:
    watching = wanted_by(flag(v1=0, v2=100), 0, experiment(State(Status.WATCHING)))
    assert counts(watching, 3) == {V1: 1, V2: 2}
    over = wanted_by(flag(v1=0, v2=100), 0, experiment(State(Status.SUCCEEDED)))
    assert counts(over, 3) == {V2: 3}
    back = wanted_by(flag(v1=100, v2=0), 0, experiment(State(Status.ROLLED_BACK)))
    assert counts(back, 3) == {V1: 3}
    assert V3 not in back.variants
