"""Experiments, decisions and looks ↔ messages."""

from tidegate.v1 import experiment_pb2
from tidegate.wire.fields import time_to_message
from tidegate_server.analysis.looks import Verdict
from tidegate_server.domain.experiments.records import (
    Action,
    Decision,
    Experiment,
    Measured,
    NumberedDecision,
    Seen,
)
from tidegate_server.wire.experiments.plans import plan_to_message, read_plan
from tidegate_server.wire.experiments.reader import Reader
from tidegate_server.wire.experiments.states import VERDICTS, read_state, state_to_message


def experiment_to_message(experiment: Experiment) -> experiment_pb2.Experiment:
    """Return an experiment as a message."""
    return experiment_pb2.Experiment(
        plan=plan_to_message(experiment.plan),
        state=state_to_message(experiment.state),
        version=experiment.version,
        create_time=time_to_message(experiment.created),
        update_time=time_to_message(experiment.updated),
    )


def experiment_from_message(message: experiment_pb2.Experiment) -> Experiment:
    """Return the experiment that a message holds.

    Raises:
        InvalidFields: names all that can't be read.
    """
    reader = Reader()
    plan, reader.problems[:] = read_plan(message.plan)
    experiment = Experiment(
        plan=plan,
        state=read_state(message.state, "state", reader),
        version=message.version,
        created=reader.moment(message.create_time, "create_time"),
        updated=reader.moment(message.update_time, "update_time"),
    )
    reader.check()
    return experiment


def decision_to_message(numbered: NumberedDecision) -> experiment_pb2.Decision:
    """Return a decision of a log as a message."""
    decision = numbered.decision
    return experiment_pb2.Decision(
        number=numbered.number,
        time=time_to_message(decision.time),
        action=decision.action,
        actor=decision.actor,
        why=decision.why,
        before=state_to_message(decision.before),
        after=state_to_message(decision.after),
        stage=decision.stage,
        verdict=VERDICTS.to_number(decision.verdict),
        units=decision.units,
        measured=map(_measured_to_message, decision.measured),
        revision=numbered.revision,
        phase=decision.phase,
    )


def decision_from_message(message: experiment_pb2.Decision) -> NumberedDecision:
    """Return the decision of a log that a message holds.

    Raises:
        InvalidFields: names all that can't be read.
    """
    reader = Reader()
    if message.action not in [each.value for each in Action]:
        reader.report("action", f"{message.action!r} is not known: give {', '.join(Action)}")
        reader.check()
    decision = Decision(
        time=reader.moment(message.time, "time"),
        action=Action(message.action),
        actor=message.actor,
        why=message.why,
        before=read_state(message.before, "before", reader),
        after=read_state(message.after, "after", reader),
        stage=message.stage,
        phase=message.phase,
        verdict=reader.optional_enum(VERDICTS, message.verdict, "verdict"),
        units=message.units if message.HasField("units") else None,
        measured=tuple(map(_measured_from_message, message.measured)),
    )
    reader.check()
    return NumberedDecision(message.number, decision, message.revision)


def look_to_message(seen: Seen) -> experiment_pb2.Look:
    """Return what a look saw as a message."""
    return experiment_pb2.Look(
        time=time_to_message(seen.time),
        stage=seen.stage,
        share_ppm=seen.share_ppm,
        verdict=VERDICTS.to_number(seen.verdict),
        reasons=seen.reasons,
        units=seen.units,
        information=seen.information,
        least_p=seen.least_p,
        measured=map(_measured_to_message, seen.measured),
    )


def look_from_message(message: experiment_pb2.Look) -> Seen:
    """Return what a look saw, from a message.

    Raises:
        InvalidFields: names all that can't be read.
    """
    reader = Reader()
    seen = Seen(
        time=reader.moment(message.time, "time"),
        stage=message.stage,
        share_ppm=message.share_ppm,
        verdict=reader.enum(VERDICTS, message.verdict, "verdict", Verdict.OUTAGE),
        reasons=tuple(message.reasons),
        units=message.units if message.HasField("units") else None,
        information=message.information if message.HasField("information") else None,
        least_p=message.least_p,
        measured=tuple(map(_measured_from_message, message.measured)),
    )
    reader.check()
    return seen


def _measured_to_message(measured: Measured) -> experiment_pb2.Measured:
    return experiment_pb2.Measured(
        metric=measured.metric,
        role=measured.role,
        value=measured.value,
        lower=measured.lower,
        upper=measured.upper,
        threshold=measured.threshold,
        tolerance=measured.tolerance,
    )


def _measured_from_message(message: experiment_pb2.Measured) -> Measured:
    return Measured(
        metric=message.metric,
        role=message.role,
        value=message.value if message.HasField("value") else None,
        lower=message.lower if message.HasField("lower") else None,
        upper=message.upper if message.HasField("upper") else None,
        threshold=message.threshold,
        tolerance=message.tolerance if message.HasField("tolerance") else None,
    )
