from collections import deque
from typing import Any

from growthbook import GrowthBook

from benchmarks.peers.peer import CONTROL, FLAG, TREATMENT, Peer

DISTRIBUTION = "growthbook"

FEATURES = {
    FLAG: {
        "defaultValue": "",
        "rules": [
            {
                "key": FLAG,
                "variations": [CONTROL, TREATMENT],
                "weights": [0.5, 0.5],
                "coverage": 1.0,
                "hashAttribute": "id",
                "hashVersion": 2,
            }
        ],
    }
}


def load() -> Peer:
    viewed: deque[Any] = deque(maxlen=10_000)
    quiet = GrowthBook(features=FEATURES)
    recording = GrowthBook(
        features=FEATURES, on_experiment_viewed=lambda **what: viewed.append(what)
    )

    def close() -> None:
        quiet.destroy()
        recording.destroy()

    return Peer(
        quiet=lambda unit: choose(quiet, unit),
        recording=lambda unit: choose(recording, unit),
        how="deduplicated, handed to a callback",
        close=close,
    )


def choose(client: GrowthBook, unit: str) -> str:
    client.set_attributes({"id": unit})
    given: str = client.get_feature_value(FLAG, "")
    return given
