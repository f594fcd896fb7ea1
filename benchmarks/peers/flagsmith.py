from typing import Any

from flagsmith import Flagsmith

from benchmarks.peers.peer import CONTROL, FLAG, TREATMENT, Peer

DISTRIBUTION = "flagsmith"

ENVIRONMENT: dict[str, Any] = {
    "id": 1,
    "name": "bench",
    "api_key": "bench",
    "updated_at": "2026-01-01T00:00:00+00:00",
    "project": {
        "id": 1,
        "name": "bench",
        "organisation": {
            "id": 1,
            "name": "bench",
            "feature_analytics": False,
            "stop_serving_flags": False,
            "persist_trait_data": False,
        },
        "hide_disabled_flags": False,
        "segments": [],
    },
    "feature_states": [
        {
            "django_id": 1,
            "featurestate_uuid": "1e6d1a6e-0f4f-4a44-8f26-000000000001",
            "feature": {"id": 1, "name": FLAG, "type": "MULTIVARIATE"},
            "enabled": True,
            "feature_state_value": "",
            "feature_segment": None,
            "multivariate_feature_state_values": [
                {
                    "id": number,
                    "mv_fs_value_uuid": f"1e6d1a6e-0f4f-4a44-8f26-00000000001{number}",
                    "percentage_allocation": 50.0,
                    "multivariate_feature_option": {"id": number, "value": variant},
                }
                for number, variant in enumerate((CONTROL, TREATMENT), 1)
            ],
        }
    ],
    "identity_overrides": [],
}


class Given:
    """Hands over one environment."""

    def get_environment(self) -> dict[str, Any]:
        return ENVIRONMENT


def load() -> Peer:
    client = Flagsmith(offline_mode=True, offline_handler=Given())
    get = client.get_identity_flags
    return Peer(quiet=lambda unit: get(unit).get_feature_value(FLAG))
