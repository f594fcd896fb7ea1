import json
from collections import deque
from collections.abc import Callable
from typing import Any

import eppo_client

from benchmarks.peers.peer import CONTROL, FLAG, TREATMENT, Peer

DISTRIBUTION = "eppo-server-sdk"


class Log(eppo_client.AssignmentLogger):
    """Keeps the last events."""

    def __init__(self) -> None:
        self.events: deque[dict[str, Any]] = deque(maxlen=10_000)

    def log_assignment(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def log_bandit_action(self, event: dict[str, Any]) -> None:
        raise NotImplementedError


class NoLog(eppo_client.AssignmentLogger):
    """Does nothing with events, as a client's default does."""

    def log_assignment(self, event: dict[str, Any]) -> None:
        pass

    def log_bandit_action(self, event: dict[str, Any]) -> None:
        raise NotImplementedError


def load() -> Peer:
    get, close = client_with(Log())
    return Peer(
        quiet=lambda unit: get("quiet", unit, {}, ""),
        recording=lambda unit: get(FLAG, unit, {}, ""),
        how="every call logged to a deque; no deduplication (quiet: the flag says doLog false)",
        close=close,
    )


def client_with(
    logger: eppo_client.AssignmentLogger,
) -> tuple[Callable[..., str], Callable[[], None]]:
    """Return what assigns, and what ends the client."""
    configuration = {
        "createdAt": "2026-01-01T00:00:00.000Z",
        "format": "SERVER",
        "environment": {"name": "bench"},
        "flags": {name: flag(name, log=log) for name, log in ((FLAG, True), ("quiet", False))},
    }
    client = eppo_client.init(
        eppo_client.ClientConfig(
            api_key="none",
            base_url="http://127.0.0.1:9",
            assignment_logger=logger,
            poll_interval_seconds=None,
            initial_configuration=eppo_client.Configuration(
                flags_configuration=json.dumps(configuration).encode()
            ),
        )
    )
    return client.get_string_assignment, client.shutdown


def flag(key: str, *, log: bool) -> dict[str, Any]:
    halves = ((CONTROL, 0, 5_000), (TREATMENT, 5_000, 10_000))
    splits = [
        {
            "variationKey": name,
            "shards": [{"salt": key, "ranges": [{"start": start, "end": end}]}],
        }
        for name, start, end in halves
    ]
    return {
        "key": key,
        "enabled": True,
        "variationType": "STRING",
        "variations": {name: {"key": name, "value": name} for name in (CONTROL, TREATMENT)},
        "totalShards": 10_000,
        "allocations": [{"key": "all", "rules": [], "splits": splits, "doLog": log}],
    }
