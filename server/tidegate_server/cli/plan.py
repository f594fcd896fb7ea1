"""`tidegate plan`: how many units and days an experiment needs, before it is started."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from tidegate_server.analysis.planning import Analysis, Design, Plan
from tidegate_server.analysis.planning import plan as make_plan
from tidegate_server.cli.plan_metric import PlanLine, parse_goal, parse_guardrail, parse_number
from tidegate_server.cli.render import new_console, new_table
from tidegate_server.errors import InvalidField

_LEAST_JOINT_POWER = 0.7
"""Below this chance of showing everything the plan warns."""

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


def show_plan(
    lines: Sequence[PlanLine], design: Design, units_per_day: float | None
) -> RenderableType:
    """Lay out a plan: what each metric needs, the size and the days, and what to mind."""
    found = make_plan([each.metric for each in lines], design)
    by_name = {each.metric.name: each for each in lines}
    numbers = ["to show", "units", "power", "detectable"]
    table = new_table("metric", "role", *numbers, numbers=numbers, title=_title(design))
    for need in found.needs:
        line = by_name[need.metric.name]
        table.add_row(
            Text(need.metric.name),
            "goal" if line.is_goal else "guardrail",
            f"{line.relative(need.metric.distance):.1%}",
            f"{need.units:,}",
            f"{need.power:.0%}",
            f"{line.relative(need.detectable):.1%}",
        )
    treated = round(found.units * design.share)
    size = f"{found.units:,} units of both arms, {treated:,} of them treated"
    if units_per_day is not None:
        size += f": {found.days(units_per_day):,} days at {units_per_day:,.0f} a day"
    warnings = [Text(f"warning: {each}", style="yellow") for each in _warnings(found, by_name)]
    return Group(table, Text(size, style="bold"), *warnings)


def _title(design: Design) -> str:
    sides = "two-sided" if design.two_sided else "one-sided"
    looks = f", {design.looks} looks" if design.analysis is Analysis.GROUP_SEQUENTIAL else ""
    return (
        f"{design.analysis}{looks}, {sides} {design.alpha:.3g}, power {design.power:.0%}, "
        f"{design.share:.4g} treated"
    )


def _warnings(found: Plan, by_name: Mapping[str, PlanLine]) -> Iterator[str]:
    largest = found.needs[0]
    goals = [need.units for need in found.needs if by_name[need.metric.name].is_goal]
    if goals and largest.units > max(goals):
        yield (
            f"the guardrail {largest.metric.name} sets the size: {largest.units:,} units, where "
            f"the goal needs {max(goals):,}; a wider margin would make it smaller"
        )
    if found.joint_power < _LEAST_JOINT_POWER:
        yield (
            f"all metrics together are shown with a chance of {found.joint_power:.0%} or more, "
            "if the effects are as hoped for: raise --power"
        )
