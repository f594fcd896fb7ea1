"""`tidegate health`: whether a server serves, for people and for container probes."""

from typing import Any

import typer
from grpc_health.v1 import health_pb2

from tidegate_server.cli.connection import CALL_SECONDS, connect
from tidegate_server.cli.options import common
from tidegate_server.cli.render import print_text

SERVICES = ("", "tidegate.v1.EventService")
"""The server as a whole, and a service that needs the store."""


def health(context: typer.Context) -> None:
    """Tell whether the server serves; exit code 1 if it does not."""
    with connect(common(context).server) as stubs:
        check: Any = stubs.health.Check  # type: ignore[attr-defined] # its types know no method
        answers = [
            check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_SECONDS)
            for service in SERVICES
        ]
    serves, stores = (each.status == health_pb2.HealthCheckResponse.SERVING for each in answers)
    if not serves:
        print_text("not serving: the server has not loaded its configuration yet")
        raise typer.Exit(1)
    print_text("serving" if stores else "serving assignments; the store cannot be reached")
