from collections import deque
from typing import Any

import configcatclient
from configcatclient import ConfigCatOptions
from configcatclient.configcatoptions import Hooks
from configcatclient.overridedatasource import (
    FlagOverrides,
    OverrideBehaviour,
    OverrideDataSource,
)
from configcatclient.pollingmode import PollingMode
from configcatclient.user import User

from benchmarks.peers.peer import CONTROL, FLAG, TREATMENT, Peer

DISTRIBUTION = "configcat-client"

TEXT = 1
CONFIG = {
    "p": {"s": "salt"},
    "f": {
        FLAG: {
            "t": TEXT,
            "v": {"s": ""},
            "i": "none",
            "p": [{"p": 50, "v": {"s": variant}, "i": variant} for variant in (CONTROL, TREATMENT)],
        }
    },
}


class Given(OverrideDataSource, FlagOverrides):
    """Hands over one configuration, from memory."""

    def __init__(self) -> None:
        super().__init__(override_behaviour=OverrideBehaviour.LocalOnly)

    def create_data_source(self, log: Any) -> "Given":
        return self

    def get_overrides(self) -> dict[str, Any]:
        return CONFIG


def load() -> Peer:
    events: deque[Any] = deque(maxlen=10_000)
    quiet = client("configcat-sdk-1/quiet-________________/1")
    recording = client("configcat-sdk-1/recording-____________/2", events)
    return Peer(
        quiet=lambda unit: quiet.get_value(FLAG, "", User(unit)),
        recording=lambda unit: recording.get_value(FLAG, "", User(unit)),
        how="every evaluation handed to a hook; no deduplication",
        close=configcatclient.ConfigCatClient.close_all,
    )


def client(key: str, events: "deque[Any] | None" = None) -> Any:
    hooks = Hooks(on_flag_evaluated=events.append) if events is not None else None
    return configcatclient.get(
        key,
        ConfigCatOptions(
            polling_mode=PollingMode.manual_poll(), flag_overrides=Given(), hooks=hooks
        ),
    )
