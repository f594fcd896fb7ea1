"""Fixtures of the server's tests."""

from collections.abc import Iterator

import pytest

from tidegate_server.storage import event_log, numbered_log


@pytest.fixture(scope="session", autouse=True)
def short_waits() -> Iterator[None]:
    """Have readers of an idle store look up ten times a second: it ends their tests sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbered_log, "_IDLE_MS", 100)
        patch.setattr(event_log, "_WAIT_MS", 100)
        yield
