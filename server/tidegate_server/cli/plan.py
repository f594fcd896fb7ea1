"""`tidegate plan`: how many units and days an experiment needs, before it is started."""

from typing import Annotated

import typer

from tidegate_server.analysis.looks import Analysis
from tidegate_server.cli.render import new_console
from tidegate_server.errors import InvalidField

_METRIC_HELP = (
    "NAME:mean=…,deviation=…,{field}=… for each {kind}; also {more}better=higher or lower, and "
    "of this metric alone events=…, icc=…, variation=…. Rates such as error need no deviation."
)


def plan(
    goals: Annotated[
        list[str] | None,
        typer.Option(
            "--goal",
            metavar="METRIC",
            help=_METRIC_HELP.format(field="effect", kind="goal", more="min_effect=…, "),
        ),
    ] = None,
    guardrails: Annotated[
        list[str] | None,
        typer.Option(
            "--guardrail",
            metavar="METRIC",
            help=_METRIC_HELP.format(field="margin", kind="guardrail", more=""),
        ),
    ] = None,
    analysis: Annotated[
        Analysis, typer.Option(help="How it is looked at: once, a few times, or at will.")
    ] = Analysis.ALWAYS_VALID,
    looks: Annotated[int, typer.Option(help="Planned looks, if group-sequential.")] = 5,
    share: Annotated[str, typer.Option(help="Treated units among those of both arms.")] = "50%",
    alpha: Annotated[str, typer.Option(help="Chance of a false promise, by metric.")] = "5%",
    power: Annotated[str, typer.Option(help="Chance to show each metric.")] = "80%",
    two_sided: Annotated[
        bool, typer.Option("--two-sided", help="Let alpha be of both sides together.")
    ] = False,
    events_per_unit: Annotated[float, typer.Option(help="Events of each unit.")] = 1.0,
    icc: Annotated[
        float, typer.Option(help="How much a unit's events are alike: 0 not at all, 1 entirely.")
    ] = 0.0,
    units_per_day: Annotated[
        float | None, typer.Option(help="New units of both arms a day, to count days.")
    ] = None,
) -> None:
    """Plan an experiment: units and days for goal and guardrails together."""
    from tidegate_server.analysis.planning import Design  # loads scipy, and takes its time
    from tidegate_server.cli.plan_metric import parse_goal, parse_guardrail, parse_number
    from tidegate_server.cli.plan_table import show_plan

    lines = [parse_goal(text, events_per_unit, icc) for text in goals or ()]
    lines += [parse_guardrail(text, events_per_unit, icc) for text in guardrails or ()]
    if not lines:
        raise InvalidField("--goal", "name a goal or a guardrail to plan for; see --help")
    if len({each.metric.name for each in lines}) < len(lines):
        raise InvalidField("--guardrail", "each metric can be named once")
    if units_per_day is not None and not units_per_day > 0:
        raise InvalidField("--units-per-day", "must be more than 0")
    chances = [parse_number(f"--{n}", t) for n, t in (("alpha", alpha), ("power", power))]
    try:
        design = Design(
            chances[0], chances[1], parse_number("--share", share), analysis, looks, two_sided
        )
    except ValueError as error:
        field, _, problem = str(error).partition(": ")
        raise InvalidField(f"--{field}", problem) from error
    new_console().print(show_plan(lines, design, units_per_day))
