from collections import deque
from typing import Any

from UnleashClient import UnleashClient
from UnleashClient.cache import FileCache

from benchmarks.peers.peer import CONTROL, FLAG, TREATMENT, Peer

DISTRIBUTION = "UnleashClient"


def load() -> Peer:
    events: deque[Any] = deque(maxlen=10_000)
    cache = FileCache("tidegate-bench")
    cache.bootstrap_from_dict(
        {
            "version": 2,
            "features": [feature("quiet", impressions=False), feature(FLAG, impressions=True)],
        }
    )
    client = UnleashClient(
        "http://127.0.0.1:9/api",
        "bench",
        cache=cache,
        disable_metrics=True,
        disable_registration=True,
        event_callback=events.append,
    )
    client.initialize_client(fetch_toggles=False)
    get = client.get_variant
    return Peer(
        quiet=lambda unit: get("quiet", {"userId": unit})["name"],
        recording=lambda unit: get(FLAG, {"userId": unit})["name"],
        how="impression data handed to a callback; no deduplication",
        close=client.destroy,
    )


def feature(name: str, *, impressions: bool) -> dict[str, Any]:
    variants = [
        {"name": variant, "weight": 500, "weightType": "fix", "stickiness": "userId"}
        for variant in (CONTROL, TREATMENT)
    ]
    return {
        "name": name,
        "enabled": True,
        "impressionData": impressions,
        "strategies": [
            {
                "name": "flexibleRollout",
                "parameters": {"rollout": "100", "stickiness": "userId", "groupId": name},
                "variants": variants,
            }
        ],
    }
