"""Writes the golden vectors beside this file: `python -m tests.vectors.generate`.

The answers come from the live code. Run it only when vectors are added: a change of one that exists
would give units other variants.
"""

import json
import random
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from tests.vectors import features, flags
from tidegate import wire
from tidegate.bucketing import LONGEST_UNIT_ID, bucket, unit_hash
from tidegate.evaluation import CompiledSnapshot
from tidegate.model import PPM, Allocation, Revision, Snapshot, SplitShare, VariantKey
from tidegate_server.domain.allocation import Move, allocate, moves, reallocate

HERE = Path(__file__).parent

SALTS = ("chat-model", "s", "ab", "abc", "Größe", "モデル", "")
SHORT_IDS = ("", "1", "12", "123", "1234", "12345", "123456789", "user-1", "user-2", "USER-1", " ")
TEXT_IDS = (
    "Zoë",
    "zoe\u0308",
    "ß",
    "日本語",
    "🙂",
    "👩\u200d👩\u200d👧",
    "a\u0000b",
    "tab\there",
    "'\"\\",
)

BOUNDARIES = (1, 2, 3, 10, 333_333, 500_000, 666_667, 999_999)

SEQUENCES: Mapping[str, tuple[dict[str, int], ...]] = {
    "a ramp, up and back": (
        {"v1": 950_000, "v2": 50_000},
        {"v1": 750_000, "v2": 250_000},
        {"v1": 500_000, "v2": 500_000},
        {"v1": 0, "v2": 1_000_000},
        {"v1": 950_000, "v2": 50_000},
    ),
    "three variants, two of them grow": (
        {"a": 900_000, "b": 50_000, "c": 50_000},
        {"a": 500_000, "b": 250_000, "c": 250_000},
        {"a": 333_334, "b": 333_333, "c": 333_333},
    ),
    "variants come and go": (
        {"a": 400_000, "b": 600_000},
        {"a": 400_000, "c": 600_000},
        {"a": 100_000, "b": 200_000, "c": 300_000, "d": 400_000},
        {"d": 1_000_000},
    ),
    "one part per million": (
        {"a": 1, "b": 999_999},
        {"a": 2, "b": 999_998},
        {"a": 999_999, "b": 1},
    ),
}


def main() -> None:
    """Write the files."""
    for name, text in render().items():
        (HERE / name).write_text(text, encoding="utf-8")


def render() -> dict[str, str]:
    """Return the files' names and what is in them."""
    vectors = {
        "hash.json": list(hash_vectors()),
        "allocation.json": {
            "boundaries": [boundary_vector(ppm) for ppm in BOUNDARIES],
            "sequences": [sequence_vector(*item) for item in (*SEQUENCES.items(), random_splits())],
        },
        "evaluation.json": evaluation_vectors(),
        "features.json": feature_vectors(),
    }
    return {
        name: json.dumps(content, indent=1, sort_keys=True) + "\n"
        for name, content in vectors.items()
    }


def hash_vectors() -> Iterator[dict[str, str]]:
    """Return the bucket and the unit hash of ids of all kinds, under several salts."""
    rng = random.Random(20)
    uuids = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(8)]
    mails = [f"ann.{rng.randrange(10**6)}@example.com" for _ in range(8)]
    numbers = [str(rng.randrange(10**12)) for _ in range(8)]
    long = ["x" * LONGEST_UNIT_ID, "é" * LONGEST_UNIT_ID]
    units = [*SHORT_IDS[1:], *TEXT_IDS, *uuids, *mails, *numbers, *long]
    for salt in SALTS:
        for unit_id in units if salt == SALTS[0] else units[:24]:
            yield {
                "salt": salt,
                "unit_id": unit_id,
                "bucket": str(bucket(salt, unit_id)),
                "unit_hash": str(unit_hash(unit_id)),
            }


def boundary_vector(ppm: int) -> dict[str, int]:
    """Return the first bucket of the range that begins at a share."""
    allocation = allocate(
        [SplitShare(VariantKey("below"), ppm), SplitShare(VariantKey("from"), PPM - ppm)]
    )
    return {"ppm": ppm, "start": allocation.starts[1]}


def random_splits() -> tuple[str, tuple[dict[str, int], ...]]:
    """Return a sequence of splits among four variants, cut at random."""
    rng = random.Random(21)
    steps = []
    for _ in range(12):
        edges = [0, *sorted(rng.randint(0, PPM) for _ in range(3)), PPM]
        steps.append({k: b - a for k, a, b in zip("abcd", edges, edges[1:], strict=False)})
    return "random splits", tuple(steps)


def sequence_vector(name: str, splits: tuple[dict[str, int], ...]) -> dict[str, Any]:
    """Return the allocation after each split of a sequence, and what moved."""
    steps: list[dict[str, Any]] = []
    before = after = Allocation((), ())
    for step in splits:
        split = [SplitShare(VariantKey(key), ppm) for key, ppm in step.items()]
        before, after = after, reallocate(after, split) if steps else allocate(split)
        moved: tuple[Move, ...] = moves(before, after) if steps else ()
        steps.append(
            {
                "split": [{"variant": share.variant, "share_ppm": share.ppm} for share in split],
                "starts": list(after.starts),
                "variants": list(after.variants),
                "moves": [
                    {"source": move.source, "target": move.target, "share_ppm": move.ppm}
                    for move in moved
                ],
            }
        )
    return {"name": name, "steps": steps}


def evaluation_vectors() -> dict[str, Any]:
    """Return some flags, and what units are given by them."""
    compiled = CompiledSnapshot(Snapshot(Revision(100), {flag.key: flag for flag in flags.FLAGS}))
    return {
        "flags": [
            json_format.MessageToDict(wire.flag_to_message(flag), preserving_proto_field_name=True)
            for flag in flags.FLAGS
        ],
        "cases": [case_vector(compiled, *case) for case in flags.cases()],
    }


def feature_vectors() -> dict[str, Any]:
    """Return a snapshot with segments and a holdout, and what units are given by its flags."""
    compiled = CompiledSnapshot(features.SNAPSHOT)
    return {
        "snapshot": json_format.MessageToDict(
            wire.snapshot_to_message(features.SNAPSHOT), preserving_proto_field_name=True
        ),
        "cases": [case_vector(compiled, *case) for case in features.cases()],
    }


def case_vector(
    compiled: CompiledSnapshot, key: str, unit_id: str, attributes: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what one unit is given."""
    given = compiled.evaluate(key, unit_id, attributes)
    return {
        "flag_key": key,
        "unit_id": unit_id,
        "attributes": attributes,
        "variant": given.variant,
        "reason": given.reason.value,
        "rule": given.rule,
    }


if __name__ == "__main__":
    main()
