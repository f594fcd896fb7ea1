"""Asks for metrics as Prometheus does, and reads them."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

SECONDS = 20


class Samples:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {each.name: each for each in text_string_to_metric_families(text)}
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Return one sample's value; 0 where there is none, for it was never counted."""
        return self._values.get((name, frozenset(labels.items())), 0.0)

    def all_of(self, name: str) -> Mapping[tuple[str, ...], float]:
        """Return all samples of a name by the values of their labels, ordered by label."""
        return {
            tuple(value for _, value in sorted(labels)): found
            for (each, labels), found in self._values.items()
            if each == name
        }


def scrape_now(url: str) -> Samples:
    """Ask a process for its metrics; one that has just been started may have to begin first."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain")
                return Samples(answer.read().decode())
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > until:
                raise
            time.sleep(0.05)


async def scrape(address: str) -> Samples:
    """Ask a role in this very loop for its metrics."""
    return await asyncio.to_thread(scrape_now, f"http://{address}/metrics")
