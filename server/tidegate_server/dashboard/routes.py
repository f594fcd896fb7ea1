"""The pages by their addresses."""

from fastapi.responses import RedirectResponse
from nicegui import Client, ui
from starlette.requests import Request
from starlette.responses import Response

from tidegate.v1 import flag_pb2
from tidegate_server.dashboard.environment import Environment
from tidegate_server.dashboard.pages.analysis import Choice, analysis_page, phase_of
from tidegate_server.dashboard.pages.experiment import ExperimentPage
from tidegate_server.dashboard.pages.flag import FlagPage
from tidegate_server.dashboard.pages.kit import Text, link, node, section
from tidegate_server.dashboard.pages.overview import overview
from tidegate_server.dashboard.pages.page import FIRST_SECONDS, Page, Site
from tidegate_server.dashboard.points import span_of
from tidegate_server.dashboard.texts import FlagTexts
from tidegate_server.domain.experiments.records import Experiment

RESPONSE_SECONDS = 10.0


def add_pages(site: Site, texts: FlagTexts) -> None:
    """Register all pages."""
    environments = list(site.environments.values())
    ui.add_head_html(
        '<link rel="stylesheet" href="/static/dashboard.css">'
        '<script src="/static/dashboard.js"></script>',
        shared=True,
    )

    @ui.page("/", response_timeout=RESPONSE_SECONDS)
    def _() -> Response:
        return RedirectResponse(f"/{environments[0].name}")

    @ui.page("/{environment}", response_timeout=RESPONSE_SECONDS)
    async def _(client: Client, request: Request, environment: str) -> None:
        own = site.environments.get(environment)
        page = Page(site, client, request, f"Overview of {environment}", own)
        if own is None:
            _nothing(page, f"There is no environment {environment!r}.")
        else:
            await overview(page, own, environments)

    @ui.page("/{environment}/flags/{key}", response_timeout=RESPONSE_SECONDS)
    async def _(
        client: Client,
        request: Request,
        environment: str,
        key: str,
        span: str = "",
        phases: str = "",
    ) -> None:
        own = site.environments.get(environment)
        page = Page(site, client, request, f"Flag {key}", own)
        flag = None if own is None else await _flag(own, key)
        if own is None or flag is None:
            _nothing(page, f"There is no flag {key!r} in {environment!r}.")
        else:
            made = FlagPage(page, own, flag, texts)
            await made.show(span_of(span), all_phases=phases == "all")

    @ui.page("/{environment}/flags/{key}/analysis", response_timeout=RESPONSE_SECONDS)
    async def _(
        client: Client,
        request: Request,
        environment: str,
        key: str,
        control: str = "",
        phase: str = "",
        outcome: str = "",
    ) -> None:
        own = site.environments.get(environment)
        page = Page(site, client, request, f"Analysis of {key}", own)
        flag = None if own is None else await _flag(own, key)
        if own is None or flag is None:
            _nothing(page, f"There is no flag {key!r} in {environment!r}.")
        else:
            await analysis_page(page, own, flag, Choice(control, phase_of(phase), outcome))

    @ui.page("/{environment}/experiments/{key}", response_timeout=RESPONSE_SECONDS)
    async def _(
        client: Client, request: Request, environment: str, key: str, span: str = ""
    ) -> None:
        own = site.environments.get(environment)
        page = Page(site, client, request, f"Experiment {key}", own)
        found = None if own is None else await _experiment(own, key)
        if own is None or found is None:
            _nothing(page, f"There is no experiment {key!r} in {environment!r}.")
        else:
            await ExperimentPage(page, own, found).show(span_of(span))


async def _experiment(environment: Environment, key: str) -> Experiment | None:
    known = await environment.experiments.first(FIRST_SECONDS)
    return (known or {}).get(key)


async def _flag(environment: Environment, key: str) -> flag_pb2.Flag | None:
    await environment.flags.first(FIRST_SECONDS)
    return environment.flag(key)


def _nothing(page: Page, why: str) -> None:
    """Show that there is nothing at this address."""
    page.client.status_code = 404
    with page.main, section("Not found"):
        Text("p", why)
        with node("p"):
            link("To the overview", "/")
