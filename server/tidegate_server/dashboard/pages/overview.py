"""The overview: environments, running experiments, flags."""

from collections.abc import Sequence

from tidegate_server.dashboard.components.grid import Grid
from tidegate_server.dashboard.environment import Environment
from tidegate_server.dashboard.pages.kit import Text, node, section
from tidegate_server.dashboard.pages.page import Page
from tidegate_server.dashboard.views.overview import (
    environments_table,
    experiments_table,
    flags_table,
)


async def overview(page: Page, own: Environment, environments: Sequence[Environment]) -> None:
    """Show one environment, beside the others."""
    for other in environments:
        if other is not own:
            page.follow_aside(other.flags, other.experiments)
    page.follow(own.watchers())
    await page.first()
    with page.main:
        with node("div", "head"):
            Text("h1", f"Overview of {own.name}")
        with section("Environments"):
            table = Grid(environments_table(environments, page.zone))
            page.draw(lambda: table.show(environments_table(environments, page.zone)))
        with section("Experiments"):
            running = Grid(experiments_table(own.name, own.experiments.value, page.zone))
            page.draw(
                lambda: running.show(experiments_table(own.name, own.experiments.value, page.zone))
            )
        with section("Flags"):
            flags = Grid(flags_table(own.name, own.flags.value, page.zone), search="Find a flag")
            page.draw(lambda: flags.show(flags_table(own.name, own.flags.value, page.zone)))
