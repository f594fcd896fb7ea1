"""Replicas ↔ messages of `tidegate.v1`."""

from datetime import datetime

from tidegate.model import FlagKey, VariantKey
from tidegate.v1 import replica_service_pb2
from tidegate.wire.fields import time_to_message
from tidegate_server.domain.replicas.replica import (
    Policy,
    Replica,
    ReplicaId,
    ReplicaState,
    Report,
    Step,
    change_in_words,
    problem_in_words,
)
from tidegate_server.errors import InvalidField
from tidegate_server.wire.experiments.reader import Numbers

_GONE = replica_service_pb2.REPLICA_STATE_GONE

STATES = Numbers(ReplicaState, "REPLICA_STATE", replica_service_pb2.ReplicaState.Value)


def state_from_number(number: int, field: str) -> ReplicaState:
    """Return the state that a replica says it is in.

    Raises:
        InvalidField: it is none that a replica may say.
    """
    state = STATES.member(number)
    if state is None:
        raise InvalidField(field, STATES.problem(number))
    return state


def replica_to_message(
    replica: Replica, policy: Policy, now: datetime
) -> replica_service_pb2.Replica:
    """Return a replica as it is at `now`."""
    lives = policy.lives(replica, now)
    order = replica.order
    return replica_service_pb2.Replica(
        id=replica.id,
        flag_key=replica.flag,
        variant=replica.variant,
        address=replica.address,
        state=STATES.to_number(replica.report.state) if lives else _GONE,
        load=replica.report.load,
        capacity=replica.capacity,
        driver_url=replica.driver_url,
        wanted_variant=order.variant if order is not None and order.step is Step.LOAD else "",
        drained=replica.drained or order is not None,
        heartbeat_time=time_to_message(replica.heard),
        problem=problem_in_words(replica),
        fixed=replica.fixed,
        change=change_in_words(replica),
    )


def replica_from_message(message: replica_service_pb2.Replica) -> Replica:
    """Return what a replica registers; fields that are output only are left out.

    Raises:
        InvalidField: its state is none.
    """
    return Replica(
        id=ReplicaId(message.id),
        flag=FlagKey(message.flag_key),
        address=message.address,
        report=Report(
            state_from_number(message.state, "replica.state"),
            VariantKey(message.variant),
            message.load,
            message.problem,
        ),
        capacity=message.capacity,
        driver_url=message.driver_url,
        fixed=message.fixed,
    )
