"""`tidegate experiment simulate`: what a plan would do, before it is used."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tidegate_server.cli.experiments.options import ExperimentFileArgument, JsonOption


def simulate(
    file: ExperimentFileArgument,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Recorded requests: a time, outcomes by name, perhaps a unit. "
            "Traffic and distributions are taken from it.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MEAN±DEVIATION",
            help="An outcome under control: rating=3.9±1.2, or a rate: error=1%. Repeatable.",
        ),
    ] = None,
    effect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=±CHANGE",
            help="What the treatment does to it: latency_ms=+10%, latency_ms.p99=+30%. Repeatable.",
        ),
    ] = None,
    better: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=higher|lower", help="Which way is better, where it is not known."
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME@START[+DURATION]",
            help="What goes wrong: outage@30m+10m, silence@…, controller@…, srm@…. Repeatable.",
        ),
    ] = None,
    users_per_minute: Annotated[
        float | None,
        typer.Option(min=0.001, help="New users. [default: the trace's, or 1000]"),
    ] = None,
    requests_per_user: Annotated[
        float | None, typer.Option(min=1, help="[default: the trace's, or 20]")
    ] = None,
    icc: Annotated[
        float, typer.Option(min=0, max=1, help="How much one user's outcomes are alike.")
    ] = 0.3,
    latency: Annotated[
        str,
        typer.Option(
            metavar="FIRST+EACH",
            help="Latency in ms where a trace has tokens only: of the first, and of each further.",
        ),
    ] = "200+20",
    approve_after: Annotated[
        str, typer.Option(metavar="DURATION", help="How long a person takes to approve.")
    ] = "0s",
    interval: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="Between two looks, instead of the plan's: fewer looks are simulated faster.",
        ),
    ] = "",
    longest: Annotated[
        str, typer.Option(metavar="DURATION", help="When a run that goes on is given up.")
    ] = "3d",
    start: Annotated[
        datetime | None,
        typer.Option(help="When it starts, UTC: for change windows. [default: now]"),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=1_000_000)] = 1_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same figures.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Run a plan many times on synthetic or recorded traffic, by the controller's own rules.

    Needs no server. Prints how likely each ending is, how long it takes, and how many users would
    meet the treatment. Checks and hooks are taken to pass.
    """
    from tidegate_server.cli.experiments.simulation import run_simulation  # loads numpy

    run_simulation(
        file,
        trace=trace,
        metric=metric,
        effect=effect,
        better=better,
        fault=fault,
        users_per_minute=users_per_minute,
        requests_per_user=requests_per_user,
        icc=icc,
        latency=latency,
        approve_after=approve_after,
        interval=interval,
        longest=longest,
        start=start,
        runs=runs,
        seed=seed,
        as_json=as_json,
    )
