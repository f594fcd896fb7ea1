"""Attributes on their way in, assignments and explanations on their way out."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

from tidegate.errors import WireError
from tidegate.evaluation import Assignment
from tidegate.explanation import Explanation
from tidegate.model import Reason
from tidegate.structs import json_from_struct, struct_from_json
from tidegate.v1 import assignment_service_pb2

_REASONS = {
    assignment_service_pb2.REASON_KILLED: Reason.KILLED,
    assignment_service_pb2.REASON_OVERRIDE: Reason.OVERRIDE,
    assignment_service_pb2.REASON_RULE: Reason.RULE,
    assignment_service_pb2.REASON_SPLIT: Reason.SPLIT,
    assignment_service_pb2.REASON_FLAG_NOT_FOUND: Reason.FLAG_NOT_FOUND,
    assignment_service_pb2.REASON_NOT_READY: Reason.NOT_READY,
    assignment_service_pb2.REASON_INVALID_UNIT: Reason.INVALID_UNIT,
    assignment_service_pb2.REASON_ERROR: Reason.ERROR,
    assignment_service_pb2.REASON_PREREQUISITE: Reason.PREREQUISITE,
    assignment_service_pb2.REASON_HOLDOUT: Reason.HOLDOUT,
    assignment_service_pb2.REASON_LAYER: Reason.LAYER,
    assignment_service_pb2.REASON_NOT_ENROLLED: Reason.NOT_ENROLLED,
    assignment_service_pb2.REASON_PINNED: Reason.PINNED,
}
_REASON_NUMBERS = {reason: number for number, reason in _REASONS.items()}


def attributes_to_struct(attributes: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return attributes as a Struct.

    Raises:
        WireError: as `struct_from_json`.
    """
    return struct_from_json(attributes, "attributes")


def attributes_from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return the attributes that a Struct holds."""
    return json_from_struct(struct)


def reason_to_number(reason: Reason) -> assignment_service_pb2.Reason.ValueType:
    """Return a reason's number in the protocol."""
    return _REASON_NUMBERS[reason]


def reason_from_number(number: int) -> Reason:
    """Return the reason that a number stands for.

    Raises:
        WireError: the number is not known.
    """
    for known, reason in _REASONS.items():
        if known == number:
            return reason
    raise WireError(f"reason: {number} is no known reason")


def assignment_to_message(assignment: Assignment) -> assignment_service_pb2.Assignment:
    """Return an assignment as a message; without a variant it has no value.

    Raises:
        WireError: the value has no form in JSON.
    """
    message = assignment_service_pb2.Assignment(
        variant=assignment.variant,
        reason=reason_to_number(assignment.reason),
        rule=assignment.rule,
        revision=assignment.revision,
        phase=assignment.phase,
    )
    if assignment.variant:
        message.value.CopyFrom(struct_from_json(assignment.value))
    return message


def explanation_to_message(explanation: Explanation) -> assignment_service_pb2.ExplainResponse:
    """Return an explanation as a message.

    Raises:
        WireError: the variant's value has no form in JSON.
    """
    return assignment_service_pb2.ExplainResponse(
        assignment=assignment_to_message(explanation.assignment),
        steps=[
            assignment_service_pb2.Step(
                subject=step.subject, name=step.name, decided=step.decided, detail=step.detail
            )
            for step in explanation.steps
        ],
    )
