"""How a simulation's figures are shown."""

import json
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from tidegate_server.analysis.effects import Interval
from tidegate_server.analysis.exact import exact_proportion
from tidegate_server.cli.experiments.words import ENDINGS, STATUS_STYLES
from tidegate_server.cli.render import new_table
from tidegate_server.cli.report_tables import NOTHING, number
from tidegate_server.domain.checks import percent
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.forecast import Forecast
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.state import Status
from tidegate_server.domain.experiments.stream import Stream
