"""The golden vectors, given by batches of one."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from google.protobuf import json_format

from tests.sdk.flags import V1, V2, make_flag
from tidegate import wire
from tidegate.model import Allocation, Reason
from tidegate.v1 import flag_pb2
from tidegate_server.batch import assign_many

VECTORS = Path(__file__).parents[2] / "vectors"


def test_batches_give_what_the_evaluation_vectors_say() -> None:
    vectors = json.loads((VECTORS / "evaluation.json").read_text(encoding="utf-8"))
    messages = [json_format.ParseDict(flag, flag_pb2.Flag()) for flag in vectors["flags"]]
    flags = {message.key: wire.flag_from_message(message) for message in messages}
    cases = [case for case in vectors["cases"] if case["flag_key"] in flags]
    assert len(cases) > 500
    for case in cases:
        batch = assign_many(
            flags[case["flag_key"]], np.array([case["unit_id"]]), case["attributes"]
        )
        place = batch.indices[0]
        variant = batch.variants[place] if place >= 0 else ""
        reason = batch.reasons[batch.reason_indices[0]]
        assert (variant, reason) == (case["variant"], case["reason"]), case


def test_batches_find_the_buckets_of_the_hash_vectors() -> None:
    vectors = json.loads((VECTORS / "hash.json").read_text(encoding="utf-8"))
    for salt in {vector["salt"] for vector in vectors}:
        mine = [vector for vector in vectors if vector["salt"] == salt]
        units = pa.array([vector["unit_id"] for vector in mine])
        for number, vector in enumerate(mine):
            at = int(vector["bucket"])
            flag = make_flag(salt=salt, allocation=Allocation((0, at), (V1, V2)))
            batch = assign_many(flag, units)
            assert batch.reasons[batch.reason_indices[number]] is Reason.SPLIT
            assert batch.variants[batch.indices[number]] == "v2"  # from `at` on
