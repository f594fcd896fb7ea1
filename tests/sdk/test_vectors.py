"""The golden vectors: reproduced, and agreed to by an independent implementation."""

import json
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from tests.sdk import murmur
from tests.vectors.generate import render
from tidegate import wire
from tidegate.bucketing import bucket, unit_hash
from tidegate.errors import WireError
from tidegate.evaluation import CompiledSnapshot
from tidegate.model import Reason, Revision, Snapshot
from tidegate.v1 import assignment_service_pb2, flag_pb2

VECTORS = Path(__file__).parents[1] / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name", ["hash.json", "allocation.json", "evaluation.json", "features.json"]
)
def test_the_generator_reproduces_the_files(name: str) -> None:
    assert render()[name].encode() == (VECTORS / name).read_bytes()


def test_the_live_code_gives_the_hashes() -> None:
    for vector in load("hash.json"):
        assert str(bucket(vector["salt"], vector["unit_id"])) == vector["bucket"]
        assert str(unit_hash(vector["unit_id"])) == vector["unit_hash"]


def test_an_independent_murmur_gives_the_hashes() -> None:
    vectors = load("hash.json")
    assert len(vectors) > 150
    for vector in vectors:
        salted = f"{vector['salt']}:{vector['unit_id']}".encode()
        assert str(murmur.x86_32(salted)) == vector["bucket"]
        assert str(murmur.x64_128(vector["unit_id"].encode())[0]) == vector["unit_hash"]


def test_the_live_code_gives_what_the_evaluation_vectors_say() -> None:
    vectors = load("evaluation.json")
    flags = [
        wire.flag_from_message(json_format.ParseDict(flag, flag_pb2.Flag()))
        for flag in vectors["flags"]
    ]
    compiled = CompiledSnapshot(Snapshot(Revision(1), {flag.key: flag for flag in flags}))
    for case in vectors["cases"]:
        given = compiled.evaluate(case["flag_key"], case["unit_id"], case["attributes"])
        expected = (case["variant"], case["reason"], case["rule"])
        assert (given.variant, given.reason, given.rule) == expected, case


def test_the_live_code_gives_what_the_feature_vectors_say() -> None:
    vectors = load("features.json")
    message = json_format.ParseDict(vectors["snapshot"], assignment_service_pb2.FlagSnapshot())
    compiled = CompiledSnapshot(wire.snapshot_from_message(message, refuse))
    for case in vectors["cases"]:
        given = compiled.evaluate(case["flag_key"], case["unit_id"], case["attributes"])
        expected = (case["variant"], case["reason"], case["rule"])
        assert (given.variant, given.reason, given.rule) == expected, case


def refuse(error: WireError) -> None:
    raise error


def test_the_features_are_hashed_as_the_readme_says() -> None:
    vectors = load("features.json")
    held_out = -(-vectors["snapshot"]["holdout_ppm"] * 2**32 // 10**6)
    enrolled = -(-300_000 * 2**32 // 10**6)
    outside = -(-400_000 * 2**32 // 10**6)
    stopped: dict[str, Callable[[str], bool]] = {
        "held-out": lambda unit: murmur.x86_32(f"holdout:{unit}".encode()) < held_out,
        "enrolled": lambda unit: murmur.x86_32(f"enrolment:enrolled:{unit}".encode()) >= enrolled,
        "layer-a": lambda unit: murmur.x86_32(f"layer:checkout:{unit}".encode()) >= outside,
    }
    reasons = {"held-out": "HOLDOUT", "enrolled": "NOT_ENROLLED", "layer-a": "LAYER"}
    for case in vectors["cases"]:
        if case["flag_key"] in stopped:
            expected = stopped[case["flag_key"]](case["unit_id"])
            assert (case["reason"] == reasons[case["flag_key"]]) is expected


def test_the_features_reach_every_reason() -> None:
    reasons = {case["reason"] for case in load("features.json")["cases"]}
    assert reasons == {"SPLIT", "RULE", "HOLDOUT", "LAYER", "NOT_ENROLLED", "PREREQUISITE"}


def test_the_cases_reach_every_way_to_be_given_something() -> None:
    reasons = {case["reason"] for case in load("evaluation.json")["cases"]}
    assert reasons >= {"INVALID_UNIT", "KILLED", "OVERRIDE", "RULE", "SPLIT", "FLAG_NOT_FOUND"}


def test_an_independent_search_gives_the_splits() -> None:
    vectors = load("evaluation.json")
    allocations = {flag["key"]: (flag["salt"], flag["allocation"]) for flag in vectors["flags"]}
    cases = [case for case in vectors["cases"] if case["reason"] == Reason.SPLIT]
    assert len(cases) > 200
    for case in cases:
        salt, allocation = allocations[case["flag_key"]]
        at = murmur.x86_32(f"{salt}:{case['unit_id']}".encode())
        owner = allocation["variants"][bisect_right(allocation["starts"], at) - 1]
        assert owner == case["variant"]
