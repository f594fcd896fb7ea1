"""Tidegate's SDK: assigns units to variants in process, and reports outcomes back."""

from importlib.metadata import version

from tidegate.assignment import Assignment
from tidegate.client import Client, Stats
from tidegate.config_stream import State
from tidegate.errors import ConfigurationError, TidegateError, WireError
from tidegate.model import Reason

__all__ = [
    "Assignment",
    "Client",
    "ConfigurationError",
    "Reason",
    "State",
    "Stats",
    "TidegateError",
    "WireError",
]

__version__ = version("tidegate")
