import json
from collections import deque
from typing import Any

from optimizely.event.event_processor import BaseEventProcessor
from optimizely.optimizely import Optimizely

from benchmarks.peers.peer import CONTROL, FLAG, TREATMENT, Peer

DISTRIBUTION = "optimizely-sdk"


class Keep(BaseEventProcessor):
    """Keeps the last events."""

    def __init__(self) -> None:
        self.events: deque[Any] = deque(maxlen=10_000)

    def process(self, user_event: Any) -> None:
        self.events.append(user_event)


def load() -> Peer:
    client = Optimizely(datafile=json.dumps(DATAFILE), event_processor=Keep())
    silent = ["DISABLE_DECISION_EVENT"]
    context = client.create_user_context
    return Peer(
        quiet=lambda unit: context(unit).decide(FLAG, silent).variation_key,
        recording=lambda unit: context(unit).decide(FLAG).variation_key,
        how="every decision handed to an event processor; no deduplication",
        close=client.close,
    )


def variation(number: int, name: str) -> dict[str, Any]:
    return {"id": f"v{number}", "key": name, "featureEnabled": True, "variables": []}


DATAFILE = {
    "version": "4",
    "projectId": "1",
    "accountId": "1",
    "revision": "1",
    "anonymizeIP": True,
    "botFiltering": False,
    "environmentKey": "bench",
    "sdkKey": "bench",
    "attributes": [],
    "audiences": [],
    "typedAudiences": [],
    "events": [],
    "groups": [],
    "integrations": [],
    "holdouts": [],
    "rollouts": [],
    "variables": [],
    "experiments": [
        {
            "id": "e1",
            "key": "experiment",
            "layerId": "1",
            "status": "Running",
            "audienceIds": [],
            "forcedVariations": {},
            "variations": [variation(1, CONTROL), variation(2, TREATMENT)],
            "trafficAllocation": [
                {"entityId": "v1", "endOfRange": 5_000},
                {"entityId": "v2", "endOfRange": 10_000},
            ],
        }
    ],
    "featureFlags": [
        {"id": "f1", "key": FLAG, "rolloutId": "", "experimentIds": ["e1"], "variables": []}
    ],
}
