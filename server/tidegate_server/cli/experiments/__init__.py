"""`tidegate experiment …`: staged rollouts, from a plan to its last decision."""

from tidegate_server.cli.experiments.app import experiment_app

__all__ = ["experiment_app"]
