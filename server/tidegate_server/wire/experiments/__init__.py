"""Experiments ↔ messages: plans, states, and what is recorded of them.

    plans   guardrails ── gates
      └────────┴───────── reader    collects what is wrong, by the names of files
    records ── states ─────┘

A field that is missing is read as its zero. Where that is out of range,
`domain.experiments.checks` says so, with what else is wrong with a plan; here is refused only what
no plan can hold.
"""

from tidegate_server.wire.experiments.plans import plan_from_message, plan_to_message, read_plan
from tidegate_server.wire.experiments.records import (
    decision_from_message,
    decision_to_message,
    experiment_from_message,
    experiment_to_message,
    look_from_message,
    look_to_message,
)
from tidegate_server.wire.experiments.states import state_from_message, state_to_message

__all__ = [
    "decision_from_message",
    "decision_to_message",
    "experiment_from_message",
    "experiment_to_message",
    "look_from_message",
    "look_to_message",
    "plan_from_message",
    "plan_to_message",
    "read_plan",
    "state_from_message",
    "state_to_message",
]
