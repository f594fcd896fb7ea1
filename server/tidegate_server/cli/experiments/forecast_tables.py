"""How a simulation is shown: what was assumed, and what came of it."""

import json
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidegate_server.analysis.effects import Interval
from tidegate_server.analysis.exact import exact_proportion
from tidegate_server.cli.experiments.styles import styled
from tidegate_server.cli.render import new_table
from tidegate_server.domain.checks import percent
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.forecast import Forecast
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.stream import Stream
from tidegate_server.domain.experiments.synthetic import Floats, Integers
from tidegate_server.domain.metrics import Statistic
from tidegate_server.experiment_text import status_words
from tidegate_server.report_text import NOTHING, number, relative

_NEARLY_ALL = 0.99
"""Part of the runs from which on a reason stands for all of them."""


def show_scenario(
    plan: Plan, stream: Stream, recorded: timedelta | None, seed: int
) -> RenderableType:
    """Lay out what a plan was run on. recorded: how long the trace is."""
    metrics = new_table("metric", plan.control, plan.treatment, "change", numbers=("change",))
    for name, each in stream.metrics.items():
        arms = [
            f"{number(moments.mean)} ± {number(moments.deviation)}"
            if name.statistic is Statistic.MEAN
            else number(moments.mean)
            for moments in (each.control, each.treatment)
        ]
        change = each.treatment.mean / each.control.mean - 1
        metrics.add_row(Text(str(name)), *arms, relative(change) if change else NOTHING)
    source = (
        "made up"
        if recorded is None
        else f"recorded over {format_duration(recorded)}, and repeated for as long as a run lasts"
    )
    head = Text.assemble(
        (plan.key, "bold"),
        f": {plan.treatment} against {plan.control}; {stream.units_per_minute:,.4g} new users a "
        f"minute, {stream.requests_per_unit:,.3g} requests each; traffic {source}; seed {seed}",
    )
    return Group(head, metrics)


def show_forecast(plan: Plan, forecast: Forecast) -> RenderableType:
    """Lay out how runs ended, how long it took, and what decided."""
    return Group(_endings(plan, forecast), _times(plan, forecast), *_sentences(forecast))


def _endings(plan: Plan, forecast: Forecast) -> Table:
    met = f"users who met {plan.treatment}"
    numbers = ["chance", "95 % interval", "median time", "p90", met, "share, p90"]
    table = new_table("ending", *numbers, numbers=numbers, title=f"{forecast.runs:,} runs")
    for status, count in forecast.counts.items():
        here = forecast.status == status
        table.add_row(
            styled(status_words(status)),
            f"{count / forecast.runs:.1%}",
            _interval(count, forecast.runs),
            *_times_to_end(forecast.ends[here]),
            f"{forecast.exposed[here].mean():,.0f}",
            percent(_largest_share(forecast.shares[here])),
        )
    return table


def _interval(count: int, runs: int) -> str:
    """Write the interval of a chance: what more runs could still change."""
    found = exact_proportion(count, runs)
    return f"{found.lower:.1%} … {found.upper:.1%}" if isinstance(found, Interval) else NOTHING


def _largest_share(shares: Integers) -> int:
    """Return the share that a tenth of the runs got beyond, at most."""
    return int(np.quantile(shares, 0.9, method="inverted_cdf"))


def _times_to_end(minutes: Floats) -> tuple[str, str]:
    if np.isnan(minutes).any():
        return "not ended", "not ended"
    median, late = np.quantile(minutes, (0.5, 0.9)).tolist()
    return _span(median), _span(late)


def _span(minutes: float) -> str:
    """Write a time: to the minute, or short ones to the second."""
    seconds = round(60 * minutes)
    return format_duration(timedelta(seconds=seconds if seconds < 600 else round(minutes) * 60))


def _times(plan: Plan, forecast: Forecast) -> Table:
    table = new_table("where", "share", "mean time", numbers=("share", "mean time"))
    shares = {stage.name: percent(stage.share_ppm) for stage in plan.stages}
    for name, minutes in forecast.minutes.items():
        table.add_row(Text(name.replace("_", " ")), shares.get(name, ""), _span(minutes))
    return table


def _sentences(forecast: Forecast) -> Iterator[Text]:
    """Say what decided, the most frequent ending first."""
    for status, count in forecast.counts.items():
        first = count == max(forecast.counts.values())
        ending, chance = status_words(status).text, f" ({count / forecast.runs:.1%})"
        said = Text.assemble("most often: " if first else "else: ", (ending, "bold"), chance)
        turn = forecast.turns.get(status)
        if turn is not None:
            mostly = "" if turn.part > _NEARLY_ALL else "mostly "
            said.append(f", {mostly}decided in {turn.decision.stage}: {turn.decision.why}")
        yield said
    yield Text("Reasons are those of one run each; figures differ from run to run.", style="dim")


def forecast_as_json(forecast: Forecast) -> str:
    """Write the figures as JSON."""
    endings = {}
    for status, count in forecast.counts.items():
        here, turn = forecast.status == status, forecast.turns.get(status)
        found = exact_proportion(count, forecast.runs)
        endings[status] = {
            "runs": count,
            "chance": count / forecast.runs,
            "interval": [found.lower, found.upper] if isinstance(found, Interval) else None,
            "minutes_p50": _quantile(forecast.ends[here], 0.5),
            "minutes_p90": _quantile(forecast.ends[here], 0.9),
            "exposed_mean": float(forecast.exposed[here].mean()),
            "share_ppm_p90": _largest_share(forecast.shares[here]),
            "stage": turn.decision.stage if turn else None,
            "why": turn.decision.why if turn else None,
        }
    return json.dumps(
        {
            "runs": forecast.runs,
            "endings": endings,
            "exposed_mean": float(forecast.exposed.mean()),
            "minutes": forecast.minutes,
        },
        indent=2,
    )


def _quantile(minutes: Floats, part: float) -> float | None:
    return None if np.isnan(minutes).any() else float(np.quantile(minutes, part))
