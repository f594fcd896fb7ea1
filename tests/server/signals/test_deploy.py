"""Dashboard, alert rules and docs name metrics and labels that the roles really have."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from ruamel.yaml import YAML

from tests.server.domain.replicas.samples import POLICY
from tests.server.rpc.test_events_and_reports import batch
from tests.server.rpc.test_flags import create, draft
from tests.server.signals.conftest import Roles
from tests.server.signals.scraping import Samples
from tests.server.signals.test_replicas import FLEET
from tests.server.signals.test_roles import until
from tidegate.v1 import event_service_pb2, event_service_pb2_grpc, flag_service_pb2_grpc
from tidegate_server.dashboard.serve import OpenPages
from tidegate_server.signals.controller import EXPERIMENTS, note_experiments, note_leadership
from tidegate_server.signals.metrics import registry_of
from tidegate_server.signals.replicas import REPLICAS, note_replicas

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "tidegate.json"
METRIC = re.compile(r"\b(?:tidegate|process)_[a-z0-9_]*[a-z0-9]\b")
LABELS = re.compile(r"(?:\bby|\bon|group_left) \(([^)]*)\)|\{([^{}]*)\}")
OF_PROMETHEUS = {"instance", "job"}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed: it comes with Prometheus"
)


def dashboard_queries() -> Iterator[str]:
    """Yield all queries of the dashboard, its variables replaced."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    found += [each["expr"] for each in dashboard["annotations"]["list"]]
    for query in found:
        yield (
            query.replace("$__rate_interval", "1m")
            .replace("$flag", "chat-model")
            .replace("$outcome", "latency_ms")
        )


def rules() -> Sequence[Mapping[str, Any]]:
    groups = YAML(typ="safe").load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture
async def exposed(roles: Roles) -> dict[str, set[str]]:
    """The labels of every metric that a role has after some work, by the names of samples."""
    await create(flag_service_pb2_grpc.FlagServiceStub(roles.channel), draft(v1=50, v2=50))
    sent = batch(40)
    sent.series.add(flag_key="chat-model", variant="v1", phase=1, outcome="error")
    sent.series_indexes[0] = 2
    stub: event_service_pb2_grpc.EventServiceAsyncStub
    stub = event_service_pb2_grpc.EventServiceStub(roles.channel)
    await stub.ReportEvents(event_service_pb2.ReportEventsRequest(batch=sent))
    name = "tidegate_backlog_bytes"
    worker = await until(roles.worker, lambda s: len(s.all_of(name)) == 2)
    await until(
        roles.worker,
        lambda s: (
            s.value("tidegate_fold_duration_seconds_count") > 0
            and s.value(name, shard="0", reader="fold")
            == 0
            == s.value(name, shard="1", reader="fold")
        ),
    )
    note_leadership(leads=True)
    note_experiments({})
    note_replicas(FLEET, POLICY)
    controller = generate_latest(registry_of("controller", "prod", EXPERIMENTS, REPLICAS)).decode()
    note_leadership(leads=False)
    dashboard = generate_latest(registry_of("dashboard", "prod", OpenPages())).decode()
    found: dict[str, set[str]] = {"tidegate_experiment_share_ratio": {"experiment"}}
    for samples in (await roles.server(), worker, Samples(controller), Samples(dashboard)):
        for family in samples.families.values():
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_the_dashboard_and_the_alerts_name_what_there_is(
    exposed: dict[str, set[str]],
) -> None:
    queries = [*dashboard_queries(), *(rule["expr"] for rule in rules())]
    assert len(queries) > 50
    for query in queries:
        named = METRIC.findall(query)
        assert named, query
        assert set(named) <= exposed.keys(), query
        labels = set().union(*(exposed[name] for name in named)) | OF_PROMETHEUS
        assert set(labels_in(query)) <= labels, query


def labels_in(query: str) -> Iterator[str]:
    """Yield the labels that a query groups or selects by."""
    for grouped, selected in LABELS.findall(query):
        for part in f"{grouped},{selected}".split(","):
            name = re.match(r"\s*([a-z_]+)", part)
            if name:
                yield name[1]


async def test_the_docs_tell_of_every_metric_and_of_no_other(exposed: dict[str, set[str]]) -> None:
    text = (ROOT / "docs" / "observability.md").read_text()
    told = set(re.findall(r"`(tidegate_[a-z0-9_]+)`", text))
    ours = {
        re.sub("_(bucket|sum|count)$", "", name) for name in exposed if name.startswith("tidegate_")
    }
    assert told == ours


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert rule["alert"].startswith("Tidegate")
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_panels_of_the_dashboard_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells


@needs_promtool
@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", "deploy/prometheus/prometheus.yml"),  # and the rules that it names
        ("test", "rules", "tests/server/signals/alerts_test.yml"),
    ],
)
def test_promtool_finds_rules_and_configuration_right(words: Sequence[str]) -> None:
    promtool(*words)


@needs_promtool
def test_promtool_can_read_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    records = [
        {"record": f"query_{number}", "expr": query}
        for number, query in enumerate(dashboard_queries())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": records}]}))
    promtool("check", "rules", str(file))


@needs_promtool
async def test_promtool_finds_names_and_help_as_they_should_be(roles: Roles) -> None:
    for samples in (await roles.server(), await roles.worker()):
        promtool("check", "metrics", text=samples.text)


def promtool(*words: str, text: str = "") -> None:
    """Run promtool; it must have nothing to say against what it checks."""
    done = subprocess.run(
        ["promtool", *words], cwd=ROOT, input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
