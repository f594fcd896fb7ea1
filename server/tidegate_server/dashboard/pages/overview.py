"""The overview: environments, running experiments, flags."""

from collections.abc import Sequence

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
            page.follow_aside(*other.followed)
    await page.first()
    with page.main:
        with node("div", "head"):
            Text("h1", f"Overview of {own.name}")
        with section("Environments"):
            page.grid(lambda: environments_table(environments, page.zone))
        with section("Experiments"):
            page.grid(lambda: experiments_table(own.name, own.experiments.value, page.zone))
        with section("Flags"):
            page.grid(
                lambda: flags_table(own.name, own.flags.value, page.zone), search="Find a flag"
            )
