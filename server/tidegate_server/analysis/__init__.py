"""Statistics over aggregates: numpy and scipy only, no I/O; usable by itself.

    from tidegate_server import analysis

    control, treatment = (analysis.sample(unit, latency_ms) for unit, latency_ms in arms)
    metric = analysis.Metric(analysis.Statistic.P95)
    estimate = analysis.compare(*analysis.figures_of(control, treatment, metric))

What is public is in `api`, which is loaded at its first use: a server that needs one module need
not wait for all.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate_server.analysis.api import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        api = import_module("tidegate_server.analysis.api")
        if name in api.__all__:
            return getattr(api, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return list(import_module("tidegate_server.analysis.api").__all__)
