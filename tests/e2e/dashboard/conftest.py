"""One stack with a dashboard, some traffic, and a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.dashboard.browser import OPERATE, SETTINGS, VIEW, Visitor, chromium, running_browser
from tests.e2e.dashboard.traffic import Traffic, traffic
from tests.e2e.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A `tidegate up` with a dashboard."""
    chromium()
    with running_stack(tmp_path_factory.mktemp("tidegate"), **SETTINGS) as running:
        yield running


@pytest.fixture(scope="session")
def base(stack: Stack) -> str:
    """The dashboard's address."""
    return f"http://{stack.roles()['pages']}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. Playwright's loop is in the way of tests with loops of their own: it must end."""
    with running_browser() as running:
        yield running


@pytest.fixture(scope="session")
def busy(stack: Stack) -> Iterator[Traffic]:
    """Traffic on the flag `chat-model`, 50 % of it on v2."""
    stack.apply_flag("chat-model", v1=50, v2=50)
    with traffic(stack.address, "chat-model") as running:
        yield running


@pytest.fixture
def operator(browser: Browser, base: str) -> Iterator[Visitor]:
    """Somebody with the operator's token, whose pages must have no errors."""
    visitor = Visitor(browser, base, token=OPERATE)
    yield visitor
    visitor.context.close()
    assert visitor.errors == []


@pytest.fixture
def viewer(browser: Browser, base: str) -> Iterator[Visitor]:
    """Somebody who may look."""
    visitor = Visitor(browser, base, token=VIEW)
    yield visitor
    visitor.context.close()
    assert visitor.errors == []
