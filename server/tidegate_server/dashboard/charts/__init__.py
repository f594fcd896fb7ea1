"""Charts: values → options of ECharts. No text of people's stands in a key, none is a template."""

from tidegate_server.dashboard.charts.parts import DASHES, PALETTE, Limit, Line, Mark, Options
from tidegate_server.dashboard.charts.sequence import Bounded, sequence_chart
from tidegate_server.dashboard.charts.times import level_chart, steps_chart, time_chart
from tidegate_server.dashboard.charts.values import density_chart, quantile_chart

__all__ = [
    "DASHES",
    "PALETTE",
    "Bounded",
    "Limit",
    "Line",
    "Mark",
    "Options",
    "density_chart",
    "level_chart",
    "quantile_chart",
    "sequence_chart",
    "steps_chart",
    "time_chart",
]
