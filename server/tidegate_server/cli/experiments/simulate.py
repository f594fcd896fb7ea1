"""`tidegate experiment simulate`: what a plan would do, before it is used."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from tidegate_server.cli.experiment_file import read_experiment_file
from tidegate_server.cli.experiments import simulate_options as options
from tidegate_server.cli.experiments.forecast_tables import (
    forecast_as_json,
    show_forecast,
    show_scenario,
)
from tidegate_server.cli.experiments.options import ExperimentFileArgument, JsonOption
from tidegate_server.cli.experiments.trace_file import read_trace
from tidegate_server.cli.render import new_console, print_text
from tidegate_server.domain.experiments.checks import problems
from tidegate_server.domain.experiments.outcomes import Outcome, recorded
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.scenario import Scenario
from tidegate_server.domain.experiments.simulate import START
from tidegate_server.domain.experiments.simulate import simulate as run
from tidegate_server.domain.experiments.trace import Trace
from tidegate_server.errors import InvalidField, InvalidFields

USERS_PER_MINUTE, REQUESTS_PER_USER = 1_000.0, 20.0
"""Traffic where nothing is said and nothing was recorded."""


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
    plan = _plan(file, interval)
    recording = read_trace(trace, options.latency_model(latency)) if trace else None
    outcomes = _outcomes(plan, recording, options.named("--metric", metric, options.outcome))
    requests, variation = _requests(recording, requests_per_user)
    scenario = Scenario(
        outcomes=outcomes,
        icc={name: _icc(recording, name, icc) for name in outcomes},
        effects=options.named("--effect", effect, options.effect),
        directions=options.named("--better", better, options.direction),
        units_per_minute=users_per_minute or _users_per_minute(recording, requests),
        requests_per_unit=requests,
        variation=variation,
        arrivals=recording.arrivals(plan.interval) if recording else (1.0,),
        troubles=options.troubles(fault),
    )
    stream, console = scenario.stream(plan), new_console()
    with console.status(f"{runs:,} runs …"):
        forecast = run(
            plan,
            stream,
            runs,
            np.random.default_rng(seed),
            options.duration("--longest", longest),
            options.duration("--approve-after", approve_after),
            _start(plan, start),
        )
    if as_json:
        print_text(forecast_as_json(forecast))
        return
    console.print(show_scenario(plan, stream, recording.duration if recording else None, seed))
    console.print(show_forecast(plan, forecast))


def _plan(file: Path, interval: str) -> Plan:
    plan = read_experiment_file(file).plan
    if not interval:
        return plan
    plan = replace(plan, interval=options.duration("--interval", interval))
    if wrong := problems(plan):
        raise InvalidFields(wrong)
    return plan


def _outcomes(
    plan: Plan, recording: Trace | None, given: Mapping[str, Outcome]
) -> dict[str, Outcome]:
    """Return what the plan's outcomes are like: as given, else as recorded."""
    found = dict(given)
    for metric in plan.metrics():
        name = metric.outcome
        if recording is None or name in found or name not in recording.outcomes:
            continue
        try:
            found[name] = recorded(recording.outcomes[name])
        except ValueError as error:
            raise InvalidField(f"--trace {name}", str(error)) from error
    return found


def _requests(recording: Trace | None, given: float | None) -> tuple[float, float]:
    """Return the requests of each user, and their deviation as a part of it."""
    if given is not None:
        return given, 0.0
    found = recording.requests_per_unit if recording else None
    return found or (REQUESTS_PER_USER, 0.0)


def _users_per_minute(recording: Trace | None, requests: float) -> float:
    return recording.requests_per_minute / requests if recording else USERS_PER_MINUTE


def _icc(recording: Trace | None, name: str, default: float) -> float:
    found = recording.icc(name) if recording and name in recording.outcomes else None
    return found if isinstance(found, float) else default


def _start(plan: Plan, given: datetime | None) -> datetime:
    if given is not None:
        return given.replace(tzinfo=UTC)
    return datetime.now(UTC) if plan.change_windows else START
