import json
from typing import Any

from statsig_python_core import (
    DataStore,
    ExperimentEvaluationOptions,
    Statsig,
    StatsigOptions,
    StatsigUser,
)
from statsig_python_core.data_store import DataStoreResponse

from benchmarks.peers.peer import CONTROL, FLAG, TREATMENT, Peer

DISTRIBUTION = "statsig-python-core"


class Given(DataStore):
    """Hands over one configuration."""

    def get(self, key: str) -> DataStoreResponse:
        return DataStoreResponse(result=json.dumps(SPECS), time=SPECS["time"])


def rule(name: str, condition: str, variant: str) -> dict[str, Any]:
    return {
        "name": name,
        "id": name,
        "groupName": name,
        "salt": name,
        "passPercentage": 100,
        "conditions": [condition],
        "returnValue": {"variant": variant},
        "idType": "userID",
        "isExperimentGroup": True,
    }


def condition(kind: str, **more: Any) -> dict[str, Any]:
    empty = {"targetValue": None, "operator": None, "field": None, "additionalValues": {}}
    return {"type": kind, "idType": "userID", "isDeviceBased": False, **empty, **more}


SPECS: dict[str, Any] = {
    "has_updates": True,
    "time": 1_767_225_600_000,
    "company_id": "bench",
    "response_format": "dcs-v2",
    "checksum": "1",
    "feature_gates": {},
    "layer_configs": {},
    "layers": {},
    "id_lists": {},
    "experiment_to_layer": {},
    "condition_map": {
        "half": condition(
            "user_bucket", operator="lt", targetValue=500, additionalValues={"salt": FLAG}
        ),
        "all": condition("public"),
    },
    "dynamic_configs": {
        FLAG: {
            "type": "dynamic_config",
            "salt": FLAG,
            "enabled": True,
            "defaultValue": {},
            "rules": [rule(CONTROL, "half", CONTROL), rule(TREATMENT, "all", TREATMENT)],
            "isDeviceBased": False,
            "idType": "userID",
            "entity": "experiment",
            "isActive": True,
            "hasSharedParams": False,
            "explicitParameters": ["variant"],
            "version": 1,
        }
    },
}


def load() -> Peer:
    options = StatsigOptions(
        disable_network=True,
        data_store=Given(),
        disable_country_lookup=True,
        disable_disk_access=True,
        event_logging_flush_interval_ms=60_000,
        output_log_level="none",
    )
    client = Statsig("secret-bench", options)
    client.initialize().wait()
    silent = ExperimentEvaluationOptions(disable_exposure_logging=True)
    get = client.get_experiment
    return Peer(
        quiet=lambda unit: get(StatsigUser(unit), FLAG, silent).get_string("variant", ""),
        recording=lambda unit: get(StatsigUser(unit), FLAG).get_string("variant", ""),
        how="deduplicated, queued in Rust; the network is off",
        close=lambda: client.shutdown().wait(),
    )
