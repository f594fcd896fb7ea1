"""Tidegate's SDK: assigns units to variants in process, and reports outcomes back."""

from importlib.metadata import version

from tidegate import grpc_start  # noqa: F401 - before anything else imports gRPC

# isort: split
from tidegate.assignment import Assignment
from tidegate.client import Client, Stats
from tidegate.config_stream import State
from tidegate.errors import ConfigurationError, TidegateError, WireError
from tidegate.explanation import Explanation, Step
from tidegate.model import Reason
from tidegate.model_version import ModelVersion

__all__ = [
    "Assignment",
    "Client",
    "ConfigurationError",
    "Explanation",
    "ModelVersion",
    "Reason",
    "State",
    "Stats",
    "Step",
    "TidegateError",
    "WireError",
]

__version__ = version("tidegate")
