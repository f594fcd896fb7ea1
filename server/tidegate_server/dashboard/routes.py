"""The pages by their addresses."""

from fastapi.responses import RedirectResponse
from nicegui import Client, ui
from starlette.requests import Request
from starlette.responses import Response

from tidegate_server.dashboard.environment import Experiments, Flags
from tidegate_server.dashboard.feeds import Feed
from tidegate_server.dashboard.pages.analysis import AnalysisPage, Choice, phase_of
from tidegate_server.dashboard.pages.experiment import ExperimentPage
from tidegate_server.dashboard.pages.flag import FlagPage
from tidegate_server.dashboard.pages.kit import Text, link, node, section
from tidegate_server.dashboard.pages.overview import overview
from tidegate_server.dashboard.pages.page import FIRST_SECONDS, Page, Site
from tidegate_server.dashboard.points import span_of
from tidegate_server.dashboard.texts import FlagTexts

RESPONSE_SECONDS = 10.0


def add_pages(site: Site, texts: FlagTexts) -> None:
    """Register all pages."""
    ui.add_head_html(
        '<link rel="stylesheet" href="/static/dashboard.css">'
        '<script src="/static/dashboard.js"></script>',
        shared=True,
    )
    routes = _Routes(site, texts)
    for path, show in (
        ("/", routes.first),
        ("/{environment}", routes.overview),
        ("/{environment}/flags/{key}", routes.flag),
        ("/{environment}/flags/{key}/analysis", routes.analysis),
        ("/{environment}/experiments/{key}", routes.experiment),
        ("/{rest:path}", routes.nothing),
    ):
        ui.page(path, response_timeout=RESPONSE_SECONDS)(show)


class _Routes:
    """What is shown at each address; parameters are those of the address."""

    def __init__(self, site: Site, texts: FlagTexts) -> None:
        self._site = site
        self._texts = texts

    def first(self) -> Response:
        return RedirectResponse(f"/{next(iter(self._site.environments))}")

    async def overview(self, client: Client, request: Request, environment: str) -> None:
        page = self._page(client, request, environment, f"Overview of {environment}")
        if page.environment is None:
            _say(page, f"There is no environment {environment!r}.")
        else:
            await overview(page, page.environment, list(self._site.environments.values()))

    async def flag(
        self,
        client: Client,
        request: Request,
        environment: str,
        key: str,
        span: str = "",
        phases: str = "",
    ) -> None:
        page = self._page(client, request, environment, f"Flag {key}")
        own = page.environment
        if own is None or not await _known(page, own.flags) or (found := own.flag(key)) is None:
            _missing(page, "flag", key, environment)
        else:
            made = FlagPage(page, own, found, self._texts)
            await made.show(span_of(span), all_phases=phases == "all")

    async def analysis(
        self,
        client: Client,
        request: Request,
        environment: str,
        key: str,
        control: str = "",
        phase: str = "",
        outcome: str = "",
    ) -> None:
        page = self._page(client, request, environment, f"Analysis of {key}")
        own = page.environment
        if own is None or not await _known(page, own.flags) or (found := own.flag(key)) is None:
            _missing(page, "flag", key, environment)
        else:
            await AnalysisPage(page, own, found, Choice(control, phase_of(phase), outcome)).show()

    async def experiment(
        self, client: Client, request: Request, environment: str, key: str, span: str = ""
    ) -> None:
        page = self._page(client, request, environment, f"Experiment {key}")
        own = page.environment
        known = own is not None and await _known(page, own.experiments)
        if own is None or not known or (found := own.experiment(key)) is None:
            _missing(page, "experiment", key, environment)
        else:
            await ExperimentPage(page, own, found).show(span_of(span))

    def nothing(self, client: Client, request: Request, rest: str) -> None:
        page = Page(self._site, client, request, "Not found", None)
        _say(page, f"There is nothing at /{rest}.")

    def _page(self, client: Client, request: Request, environment: str, title: str) -> Page:
        own = self._site.environments.get(environment)
        return Page(self._site, client, request, title, own)


async def _known(page: Page, feed: Feed[Flags] | Feed[Experiments]) -> bool:
    """Return whether a feed has a value; the page is loaded again as soon as it has."""
    if await feed.first(FIRST_SECONDS) is not None:
        return True

    def reload() -> None:
        if feed.value is not None:
            page.client.run_javascript("location.reload()")

    page.draw(reload)
    return False


def _missing(page: Page, kind: str, key: str, environment: str) -> None:
    own = page.environment
    if own is None:
        _say(page, f"There is no environment {environment!r}.")
    elif own.flags.value is None or own.experiments.value is None:
        _say(page, f"Nothing is known yet of {environment!r}: its server has not answered.")
    else:
        _say(page, f"There is no {kind} {key!r} in {environment!r}.")


def _say(page: Page, why: str) -> None:
    """Show why there is nothing at this address."""
    page.client.status_code = 404
    with page.main, section("Not found"):
        Text("p", why)
        with node("p"):
            link("To the overview", "/")
