"""Replicas ↔ what the store's hash holds of them; see `replica_fields.lua`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from tidegate.model import FlagKey, VariantKey
from tidegate.v1 import replica_service_pb2
from tidegate_server.domain.replicas.replica import (
    Failure,
    Order,
    Replica,
    ReplicaId,
    Report,
    Step,
)
from tidegate_server.wire.replicas import STATES, state_from_number

LETTERS = "rasbod"
"""What the fields of one replica begin with, in the order in which scripts return them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def encode_registration(replica: Replica) -> bytes:
    """Return what stays the same until a replica registers again."""
    return replica_service_pb2.Replica(
        flag_key=replica.flag,
        address=replica.address,
        capacity=replica.capacity,
        driver_url=replica.driver_url,
        fixed=replica.fixed,
    ).SerializeToString()


def encode_report(report: Report) -> bytes:
    """Return what a replica says of itself, but for its load, which is no news."""
    return replica_service_pb2.Replica(
        state=STATES.to_number(report.state), variant=report.variant, problem=report.problem
    ).SerializeToString()


def encode_orders(replica: Replica) -> str:
    """Return a replica's order and failures; "" for none. They hold for its flag."""
    order, failures = replica.order, replica.failures
    if order is None and not failures:
        return ""
    given = None if order is None else [order.variant, order.step, to_ms(order.since)]
    failed = [[each.variant, each.tries, to_ms(each.time), each.problem] for each in failures]
    return json.dumps([replica.flag, given, failed])


def decode_all(pairs: Sequence[bytes]) -> dict[ReplicaId, Replica]:
    """Read the whole hash, given as field, value, field, value …; sorted by id."""
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    names = sorted(name[2:] for name in fields if name.startswith(b"r/"))
    every = (
        decode(name.decode(), (fields.get(f"{letter}/".encode() + name) for letter in LETTERS))
        for name in names
    )
    return {each.id: each for each in every}


def decode(name: str, values: Iterable[bytes | None]) -> Replica:
    """Read one replica from the values of its fields, in the order of LETTERS."""
    by_letter: Mapping[str, bytes] = {
        letter: value or b"" for letter, value in zip(LETTERS, values, strict=True)
    }
    registered = replica_service_pb2.Replica.FromString(by_letter["r"])
    said = replica_service_pb2.Replica.FromString(by_letter["s"])
    heard_ms, _, load = by_letter["b"].partition(b" ")
    flag = FlagKey(registered.flag_key)
    order, failures = _decode_orders(by_letter["o"], flag)
    return Replica(
        id=ReplicaId(name),
        flag=flag,
        address=registered.address,
        report=Report(
            state_from_number(said.state, "state"),
            VariantKey(said.variant),
            float(load),
            said.problem,
        ),
        registered=from_ms(int(by_letter["a"])),
        heard=from_ms(int(heard_ms)),
        capacity=registered.capacity,
        driver_url=registered.driver_url,
        fixed=registered.fixed,
        drained=by_letter["d"] != b"",
        order=order,
        failures=failures,
    )


def _decode_orders(value: bytes, flag: FlagKey) -> tuple[Order | None, tuple[Failure, ...]]:
    """Read orders; those of another flag, that the replica had before, are none."""
    of_flag, given, failed = json.loads(value) if value else (flag, None, [])
    if of_flag != flag:
        return None, ()
    order = None
    if given is not None:
        variant, step, since = given
        order = Order(VariantKey(variant), Step(step), from_ms(since))
    return order, tuple(
        Failure(VariantKey(variant), tries, from_ms(time), problem)
        for variant, tries, time, problem in failed
    )


def to_ms(moment: datetime) -> int:
    """Return a moment in ms since 1970."""
    return (moment - _EPOCH) // _MS


def from_ms(milliseconds: int) -> datetime:
    """Return a moment in UTC."""
    return _EPOCH + milliseconds * _MS
