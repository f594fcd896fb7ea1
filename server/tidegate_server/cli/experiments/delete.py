"""`tidegate experiment delete`."""

import typer

from tidegate.v1 import experiment_service_pb2
from tidegate_server.cli.connection import CALL_SECONDS, connect
from tidegate_server.cli.experiments.calls import get_experiment
from tidegate_server.cli.experiments.options import ExperimentKeyArgument
from tidegate_server.cli.options import YesOption, common, confirm
from tidegate_server.cli.render import print_text
from tidegate_server.experiment_text import status_words


def delete(context: typer.Context, key: ExperimentKeyArgument, yes: YesOption = False) -> None:
    """Delete a draft, or an experiment that has ended, with its log."""
    with connect(common(context).server) as stubs:
        status = status_words(get_experiment(stubs, key).state.status).text
        if not yes:
            confirm(f"experiment delete {key}", f"Delete experiment {key} ({status}) with its log?")
        request = experiment_service_pb2.DeleteExperimentRequest(key=key)
        stubs.experiments.DeleteExperiment(request, timeout=CALL_SECONDS)
    print_text(f"deleted experiment {key}")
