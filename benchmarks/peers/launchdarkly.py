import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations import Files

from benchmarks.peers.peer import CONTROL, FLAG, TREATMENT, Peer

DISTRIBUTION = "launchdarkly-server-sdk"


def load() -> Peer:
    logging.getLogger("ldclient").setLevel(logging.CRITICAL)
    quiet, recording = client(send_events=False), client(send_events=True)

    def close() -> None:
        quiet.close()
        recording.close()

    return Peer(
        quiet=lambda unit: quiet.variation(FLAG, Context.create(unit), ""),
        recording=lambda unit: recording.variation(FLAG, Context.create(unit), ""),
        how="evaluation events with trackEvents, summarised in a thread; nothing is sent",
        close=close,
    )


def client(*, send_events: bool) -> LDClient:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flags.json"
        path.write_text(json.dumps({"flags": {FLAG: flag()}, "segments": {}}))
        return LDClient(
            Config(
                "sdk-key",
                update_processor_class=Files.new_data_source(paths=[str(path)]),
                send_events=send_events,
                events_uri="http://127.0.0.1:9",
                events_max_pending=1_000_000,
                flush_interval=3_600,
                diagnostic_opt_out=True,
            )
        )


def flag() -> dict[str, Any]:
    halves = [{"variation": index, "weight": 50_000} for index in (0, 1)]
    return {
        "key": FLAG,
        "version": 1,
        "on": True,
        "salt": FLAG,
        "variations": [CONTROL, TREATMENT],
        "fallthrough": {"rollout": {"kind": "experiment", "variations": halves, "seed": 7}},
        "offVariation": 0,
        "targets": [],
        "rules": [],
        "prerequisites": [],
        "trackEvents": True,
    }
