"""What came of checks and hooks, in Redis: the port GateResults."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from redis.asyncio import Redis

from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.errors import FencedOff
from tidegate_server.ports import Fence, GateResult, Progress
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.keys import ExperimentKeys

_NOTE = Script.named("note_gate", "fence")


class RedisGateResults:
    """One environment's results, by experiment and name of the gate."""

    def __init__(self, client: Redis, environment: str) -> None:
        self._client = client
        self._keys = ExperimentKeys(environment)

    async def load(self, key: ExperimentKey) -> Mapping[str, GateResult]:
        """Return all results of an experiment.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            found: Any = await self._client.hgetall(self._keys.gates(key))
        return {gate.decode(): _decode(value) for gate, value in found.items()}

    async def note(self, key: ExperimentKey, gate: str, result: GateResult, fence: Fence) -> None:
        """Store one result; of an experiment that is gone, nothing.

        Raises:
            FencedOff: another controller leads; nothing was changed.
            StoreUnavailable: no reply arrived: it may or may not be stored.
        """
        own = self._keys
        noted = await run(
            self._client,
            _NOTE,
            [own.leader, own.versions, own.gates(key)],
            [fence, key, gate, _encode(result)],
        )
        if not noted:
            raise FencedOff(
                f"another controller has led since token {fence} was given out: what this one "
                f"found of {gate!r} of {key!r} counts no more"
            )


def _encode(result: GateResult) -> str:
    return json.dumps([result.progress, result.why, result.time.isoformat()])


def _decode(value: bytes) -> GateResult:
    progress, why, time = json.loads(value)
    return GateResult(Progress(progress), why, datetime.fromisoformat(time))
