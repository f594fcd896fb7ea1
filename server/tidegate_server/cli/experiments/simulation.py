"""What `tidegate experiment simulate` does: traffic from options and traces, runs, and tables."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tidegate_server.cli.experiment_file import read_experiment_file
from tidegate_server.cli.experiments import simulate_options as options
from tidegate_server.cli.experiments.forecast_tables import (
    forecast_as_json,
    show_forecast,
    show_scenario,
)
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


def run_simulation(
    file: Path,
    *,
    trace: Path | None,
    metric: list[str] | None,
    effect: list[str] | None,
    better: list[str] | None,
    fault: list[str] | None,
    users_per_minute: float | None,
    requests_per_user: float | None,
    icc: float,
    latency: str,
    approve_after: str,
    interval: str,
    longest: str,
    start: datetime | None,
    runs: int,
    seed: int,
    as_json: bool,
) -> None:
    """Run it; `tidegate experiment simulate --help` tells what the options mean.

    Raises:
        InvalidField, InvalidFields: an option, the file or the trace is wrong.
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
