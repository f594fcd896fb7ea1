"""A headless Chromium, and the dashboard of a running stack in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

VIEW, OPERATE = "viewer-token-0123456", "operator-token-01234"
SETTINGS = {
    "TIDEGATE_DASHBOARD_LISTEN": "127.0.0.1:0",
    "TIDEGATE_DASHBOARD_TOKEN": VIEW,
    "TIDEGATE_DASHBOARD_OPERATOR_TOKEN": OPERATE,
}
"""Of a stack with a dashboard."""

SCREENSHOTS = "TIDEGATE_SCREENSHOTS"
"""Where pictures for the docs are put; not set: none are made."""

DESK, PHONE = (1200, 800), (390, 844)
PATIENCE_MS = 30_000
"""How long a page may take for what it must show: machines that run tests are busy."""

expect.set_options(timeout=PATIENCE_MS)


def chromium() -> str:
    """Return the path of Chromium; skip the test where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if found is None:
        pytest.skip("there is no Chromium: apt-get install chromium (see CONTRIBUTING.md)")
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser for the block."""
    path = chromium()
    with sync_playwright() as playwright:
        # As root, which containers of CI run as, Chromium starts without its sandbox alone.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """Somebody at the dashboard, with a browser profile of their own.

    errors: what pages said was wrong; requests: addresses that were asked for.
    """

    def __init__(
        self,
        browser: Browser,
        base: str,
        *,
        token: str = "",
        size: tuple[int, int] = DESK,
        dark: bool = False,
    ) -> None:
        self.base = base
        self.context: BrowserContext = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            timezone_id="Asia/Tokyo",
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page = self.open()
        if token:
            self.page.goto(f"{base}/?token={token}")
            self.page.wait_for_selector("main h1")

    def open(self) -> Page:
        """Open another tab."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )
        page.on("request", lambda request: self.requests.append(request.url))
        return page

    def go(self, path: str) -> Page:
        """Go to a page, and wait until it is drawn."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector("main h1, main h2")
        return self.page

    def go_to_flag(self, key: str, more: str = "") -> Page:
        """Go to the page of a flag, or to one below, once the dashboard has heard of the flag."""
        overview = self.go("/prod")
        expect(overview.get_by_role("link", name=key, exact=True)).to_be_visible()
        return self.go(f"/prod/flags/{key}{more}")

    def picture(self, name: str) -> None:
        """Make a picture for the docs, if pictures are wanted."""
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            self.page.screenshot(path=Path(folder) / f"dashboard-{name}.png")


def row(page: Page, caption: str, key: str) -> list[str]:
    """Return the cells of a table's row: the region's name, and the row's first cell."""
    table = page.get_by_role("region", name=caption)
    cells = table.locator(f'tr[data-key="{key}"]').locator("th, td")
    return [text.strip() for text in cells.all_inner_texts()]
