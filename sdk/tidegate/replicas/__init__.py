"""Replicas: running model servers, as applications choose one and as they say of themselves.

application   Client.replicas(flag) → Replicas.pick(choice) → a replica of the assigned version
model server  Agent: registers, says how busy it is, loads the version that it is told to
"""

from tidegate.replicas.agent import Agent
from tidegate.replicas.balance import Replica
from tidegate.replicas.model_process import ModelProcess
from tidegate.replicas.pool import Pick, PickReason, Replicas
from tidegate.replicas.served import AgentState

__all__ = [
    "Agent",
    "AgentState",
    "ModelProcess",
    "Pick",
    "PickReason",
    "Replica",
    "Replicas",
]
