"""States ↔ messages."""

from tidegate.v1 import experiment_pb2
from tidegate.wire.fields import time_to_message
from tidegate_server.analysis.looks import Verdict
from tidegate_server.domain.experiments.state import Memory, State, Status
from tidegate_server.wire.experiments.reader import Numbers, Reader, duration_to_message

STATUSES = Numbers(Status, "EXPERIMENT_STATUS", experiment_pb2.ExperimentStatus.Value)
VERDICTS = Numbers(Verdict, "VERDICT", experiment_pb2.Verdict.Value)


def state_to_message(state: State) -> experiment_pb2.ExperimentState:
    """Return a state as a message."""
    return experiment_pb2.ExperimentState(
        status=STATUSES.to_number(state.status),
        stage=state.stage,
        share_ppm=state.share_ppm,
        attempt=state.attempt,
        start_time=time_to_message(state.started),
        first_phase=state.first_phase,
        since=time_to_message(state.since),
        reason=state.reason,
        look_time=time_to_message(state.looked),
        verdict=VERDICTS.to_number(state.verdict),
        healthy=state.healthy,
        last_healthy_time=time_to_message(state.last_healthy),
        baked=duration_to_message(state.baked),
        streak=state.streak,
        waiting_since=time_to_message(state.waiting_since),
        ceilings=[experiment_pb2.CeilingHistory(exceeded=each) for each in state.ceilings],
        least_p=state.least_p,
        resume=STATUSES.to_number(state.resume),
        ending=STATUSES.to_number(state.ending),
        failed_attempts=map(_memory_to_message, state.memories),
    )


def state_from_message(message: experiment_pb2.ExperimentState) -> State:
    """Return the state that a message holds.

    Raises:
        InvalidFields: names all that can't be read.
    """
    reader = Reader()
    state = read_state(message, "state", reader)
    reader.check()
    return state


def read_state(message: experiment_pb2.ExperimentState, field: str, reader: Reader) -> State:
    """Read a state."""
    return State(
        status=reader.enum(STATUSES, message.status, f"{field}.status", Status.DRAFT),
        stage=message.stage,
        share_ppm=message.share_ppm,
        attempt=message.attempt,
        started=reader.optional_moment(message, "start_time", f"{field}.start_time"),
        first_phase=message.first_phase,
        since=reader.optional_moment(message, "since", f"{field}.since"),
        reason=message.reason,
        looked=reader.optional_moment(message, "look_time", f"{field}.look_time"),
        verdict=reader.optional_enum(VERDICTS, message.verdict, f"{field}.verdict"),
        healthy=message.healthy,
        last_healthy=reader.optional_moment(
            message, "last_healthy_time", f"{field}.last_healthy_time"
        ),
        baked=reader.duration(message.baked, f"{field}.baked"),
        streak=message.streak,
        waiting_since=reader.optional_moment(message, "waiting_since", f"{field}.waiting_since"),
        ceilings=tuple(tuple(each.exceeded) for each in message.ceilings),
        least_p=message.least_p,
        resume=reader.optional_enum(STATUSES, message.resume, f"{field}.resume"),
        ending=reader.optional_enum(STATUSES, message.ending, f"{field}.ending"),
        memories=tuple(
            _read_memory(each, f"{field}.failed_attempts[{index}]", reader)
            for index, each in enumerate(message.failed_attempts)
        ),
    )


def _memory_to_message(memory: Memory) -> experiment_pb2.FailedAttempt:
    return experiment_pb2.FailedAttempt(
        attempt=memory.attempt,
        time=time_to_message(memory.time),
        status=STATUSES.to_number(memory.status),
        why=memory.why,
    )


def _read_memory(message: experiment_pb2.FailedAttempt, field: str, reader: Reader) -> Memory:
    return Memory(
        attempt=message.attempt,
        time=reader.moment(message.time, f"{field}.time"),
        status=reader.enum(STATUSES, message.status, f"{field}.status", Status.ABORTED),
        why=message.why,
    )
