"""Tidegate's plugin for pytest: the fixture `tidegate_client`.

It lies outside of the package `tidegate`, so that a run of pytest that has no use for it imports
nothing of Tidegate.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tidegate.testing import TestClient


@pytest.fixture
def tidegate_client() -> "Iterator[TestClient]":
    """A client in memory, without flags: see `tidegate.testing.TestClient`."""
    from tidegate.testing import TestClient

    with TestClient() as client:
        yield client
