"""Names, units and labels of all metrics, as Prometheus asks for them."""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import pytest
from prometheus_client import generate_latest
from prometheus_client.registry import Collector

from tests.server.signals.scraping import Samples
from tidegate_server.signals.backlogs import Backlogs
from tidegate_server.signals.controller import EXPERIMENTS
from tidegate_server.signals.metrics import registry_of
from tidegate_server.signals.replicas import REPLICAS

LIVE: Mapping[str, Sequence[Collector]] = {
    "worker": [Backlogs()],
    "controller": [EXPERIMENTS, REPLICAS],
}


@pytest.mark.parametrize("role", ["server", "worker", "controller", "dashboard"])
def test_each_role_has_its_own_and_what_all_have(role: str) -> None:
    registry = registry_of(role, "staging", *LIVE.get(role, []))
    found = Samples(generate_latest(registry).decode())
    build = {"role": role, "environment": "staging", "version": version("tidegate")}
    assert found.value("tidegate_build_info", **build) == 1
    assert found.value("process_resident_memory_bytes") > 1e6
    assert set(found.all_of("tidegate_store_errors_total")) == {
        ("full",),
        ("refused",),
        ("unreachable",),
    }
    own = {"server": "batches", "worker": "folded_batches", "controller": "controller_verdicts"}
    for each, name in own.items():
        assert (f"tidegate_{name}" in found.families) is (each == role)


@pytest.mark.parametrize("role", ["server", "worker", "controller"])
def test_names_follow_the_conventions(role: str) -> None:
    families = Samples(generate_latest(registry_of(role, "prod")).decode()).families.values()
    ours = [each for each in families if not each.name.startswith(("process_", "python_"))]
    assert len(ours) > 4
    for each in ours:
        assert re.fullmatch(r"tidegate(_[a-z]+)+", each.name)
        assert each.documentation.endswith(".")
        if each.type == "histogram":
            assert each.name.endswith("_duration_seconds")
        for unit in ("milliseconds", "_ms", "percent", "kilo", "mega"):
            assert unit not in each.name
