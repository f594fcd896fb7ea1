"""One open page: its frame, what it follows, and when it is drawn anew."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote

import structlog
from nicegui import Client, ui
from nicegui.element import Element
from starlette.requests import Request

from tidegate_server.dashboard.access import Access, Session
from tidegate_server.dashboard.cells import Table
from tidegate_server.dashboard.charts import DASHES, PALETTE, Options
from tidegate_server.dashboard.components.grid import Grid
from tidegate_server.dashboard.environment import Environment
from tidegate_server.dashboard.feeds import BUG, Feed
from tidegate_server.dashboard.guard import SESSION, cookies
from tidegate_server.dashboard.pages.kit import Chart, Text, link, node
from tidegate_server.dashboard.words import Zone, freshness_words
from tidegate_server.experiment_text import Said, Tone

log = structlog.get_logger(__name__)

T = TypeVar("T")

DRAW_SECONDS = 0.25
"""What changes within this time is drawn together."""

FIRST_SECONDS = 1.5
"""How long a page waits for its first values; those that come later are drawn then."""


@dataclass(frozen=True, slots=True)
class Site:
    """What all pages share."""

    access: Access
    environments: Mapping[str, Environment]


class Page:
    """A page under construction, and then open.

    environment: what it shows; None for a page of none.
    """

    def __init__(
        self,
        site: Site,
        client: Client,
        request: Request,
        title: str,
        environment: Environment | None,
    ) -> None:
        self.environment = environment
        self.client = client
        self.session: Session = request.scope[SESSION]
        self.zone = Zone.named(unquote(cookies(request.headers).get("tidegate_zone", "UTC")))
        self.actor = unquote(cookies(request.headers).get("tidegate_actor", ""))[:200]
        self._site = site
        self._feeds: list[Feed[Any]] = []
        self._leave: list[Callable[[], None]] = []
        self._draws: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_broken = False
        self._theme = cookies(request.headers).get("tidegate_theme", "")
        client.title = f"{title} · Tidegate"
        client.on_delete(self._close)
        if environment is not None:
            self.follow(*environment.followed, environment.watchers)
        self._frame(title)

    def follow(self, *feeds: Feed[Any]) -> None:
        """Draw the page anew whenever one of these feeds changes."""
        new = [feed for feed in dict.fromkeys(feeds) if feed not in self._feeds]
        self._feeds += new
        self.follow_aside(*new)

    def follow_aside(self, *feeds: Feed[Any]) -> None:
        """Draw the page anew for these feeds too, which do not count for its freshness."""
        self._leave += [feed.listen(self._note) for feed in feeds]

    async def first(self) -> None:
        """Wait for the feeds' first values, but not for long."""
        await asyncio.gather(*(feed.first(FIRST_SECONDS) for feed in self._feeds))

    def draw(self, function: Callable[[], None]) -> None:
        """Call a function that shows what feeds have, now and when they change."""
        function()
        self._draws.append(function)

    def grid(self, table: Callable[[], Table], *, search: str = "") -> None:
        """Show a table, and keep it current. search: see Grid."""
        grid = Grid(table(), search=search)
        self._draws.append(lambda: grid.show(table()))

    def chart(self, label: str, options: Callable[[], Options], classes: str = "") -> None:
        """Show a chart, and keep it current."""
        chart = Chart(label, options(), classes)
        self._draws.append(lambda: chart.show(options()))

    def legend(self, variants: Callable[[], Sequence[str]], *, quantiles: bool = False) -> None:
        """Show which colour is whose. quantiles: and which line is which quantile."""
        self.fill(node("p", "legend"), variants, partial(_keys, quantiles=quantiles))

    def fill(
        self, box: Element, values: Callable[[], Sequence[T]], show: Callable[[Sequence[T]], None]
    ) -> None:
        """Show values in a box, anew whenever they change."""
        shown: list[T] = []

        def draw() -> None:
            wanted = list(values())
            if wanted != shown:
                shown[:] = wanted
                box.clear()
                with box:
                    show(wanted)

        self.draw(draw)

    def alive(self) -> bool:
        """Tell whether the session still counts; if not, the browser is sent to sign in."""
        if self._site.access.lives(self.session):
            return True
        self.client.open("/login")
        return False

    def _note(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DRAW_SECONDS, self._redraw)

    def _redraw(self) -> None:
        self._timer = None
        if not self.alive():
            return
        with self.client:
            for function in self._draws:
                try:
                    function()
                except Exception:
                    if not self._is_broken:  # once: it is drawn again and again
                        log.exception("page_not_drawn")
                    self._is_broken = True
            self._show_freshness()

    def _close(self) -> None:
        for leave in self._leave:
            leave()
        if self._timer is not None:
            self._timer.cancel()

    def _frame(self, title: str) -> None:
        now_ms = int(datetime.now(UTC).timestamp() * 1_000)
        ui.add_head_html(f'<meta name="tidegate-now" content="{now_ms}">')
        ui.dark_mode({"dark": True, "light": False}.get(self._theme))
        content = self.client.content.classes(remove="nicegui-content", add="page")
        if content.parent_slot is not None:  # Quasar calls main what holds our header too
            content.parent_slot.parent.props["role"] = "none"
        with node("header", "top"):
            link("Tidegate", "/", "brand")
            with node("nav", "where", aria_label="Environments"):
                for name in self._site.environments:
                    here = self.environment is not None and self.environment.name == name
                    current = {"aria_current": "true"} if here else {}
                    Text("a", name, "chip", href=f"/{name}", **current)
            self._freshness = Text("span", "", "fresh", role="status")
            with node("div", "tools"):
                role = "operator" if self.session.operates else "read-only"
                Text("span", role, "quiet", title="What your token allows")
                ui.button(f"Times in {self.zone.name}", color=None).props("flat dense no-caps").on(
                    "click", js_handler="() => tidegate.toggleZone()"
                ).tooltip("Show times in UTC, or in this browser's zone")
                ui.button("Dark / light", color=None).props("flat dense no-caps").on(
                    "click", js_handler="() => tidegate.toggleTheme()"
                )
                with node("form", "signout", method="post", action="/logout"):
                    Text("button", "Sign out", type="submit")
        self.main = node("main", "main", tabindex=-1, aria_label=title)
        ui.skip_link(target=self.main)
        with self.main:
            self._notice = Text("p", "", "notice", role="alert")
        self._show_freshness()

    def _show_freshness(self) -> None:
        fresh = [feed.freshness for feed in self._feeds]
        said = freshness_words(fresh, self.zone) if fresh else Said("", Tone.PLAIN)
        if self._is_broken:
            said = Said(f"a part of this page is not current: {BUG}", Tone.BAD)
        self._freshness.say(said)
        wrong = self.environment.misnamed if self.environment is not None else ""
        self._notice.text = wrong
        self._notice.set_visibility(bool(wrong))
        stale = said.tone is Tone.BAD  # what is shown then fades
        self.main.classes(add="stale" if stale else "", remove="" if stale else "stale")


def _keys(variants: Sequence[str], *, quantiles: bool) -> None:
    for place, name in enumerate(variants):
        node("span", f"swatch c{place % len(PALETTE)}", aria_hidden="true")
        Text("span", name)
    for dash, quantile in zip(DASHES, ("p50", "p95", "p99"), strict=True):
        if quantiles:
            node("span", f"dash {dash}", aria_hidden="true")
            Text("span", quantile, "quiet")
