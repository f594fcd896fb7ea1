"""A plan as it is shown: what each metric needs, and what to mind."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from tidegate_server.analysis.looks import Analysis
from tidegate_server.analysis.planning import Design, Plan, plan
from tidegate_server.cli.plan_metric import PlanLine
from tidegate_server.cli.render import new_table

_LEAST_JOINT_POWER = 0.7
"""Below this chance of showing everything the plan warns."""


def show_plan(
    lines: Sequence[PlanLine], design: Design, units_per_day: float | None
) -> RenderableType:
    """Lay out a plan: what each metric needs, the size and the days, and what to mind."""
    found = plan([each.metric for each in lines], design)
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
