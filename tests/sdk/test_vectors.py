"""The golden vectors: reproduced, and agreed to by an independent implementation."""

import json
from bisect import bisect_right
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from tests.sdk import murmur
from tests.vectors.generate import render
from tidegate import wire
from tidegate.bucketing import bucket, unit_hash
from tidegate.evaluation import CompiledSnapshot
from tidegate.model import Reason, Revision, Snapshot
from tidegate.v1 import flag_pb2

VECTORS = Path(__file__).parents[1] / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["hash.json", "allocation.json", "evaluation.json"])
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
