import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.server.cli.conftest import Cli
from tidegate.model import Direction
from tidegate_server.cli.experiments import simulate_options as options
from tidegate_server.cli.experiments.trace_file import LatencyModel
from tidegate_server.domain.experiments.outcomes import Assumed, Rate
from tidegate_server.domain.experiments.stream import Fault, Trouble
from tidegate_server.errors import InvalidField

MINUTE = timedelta(minutes=1)

PLAN = """\
experiment: chat-v2
flag: chat-model
control: v1
treatment: v2
template: production
goal: {metric: rating, min_effect: 5%, tolerance: 5%}
guardrails:
  - {metric: error, max: 5%, min_events: 500}
  - {metric: latency_ms, margin: 10%}
interval: 1m
"""
HOURS = ("--longest", "5h")
METRICS = ("--metric", "rating=3.9±1.2", "--metric", "error=1%", "--metric", "latency_ms=300+-200")


@pytest.fixture
def plan(tmp_path: Path) -> str:
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN, encoding="utf-8")
    return str(file)


def test_a_slow_version_is_rolled_back_and_it_is_said_why(cli: Cli, plan: str) -> None:
    words = ("experiment", "simulate", plan, *METRICS, "--effect", "latency_ms=+30%")
    code, out, err = cli(*words, "--runs", "40")
    assert (code, err) == (0, "")
    assert "1,000 new users a minute, 20 requests each; traffic made up; seed 1" in out
    assert any("latency_ms" in line and "390 ± 260" in line for line in out.splitlines())
    (ending,) = (line for line in out.splitlines() if line.startswith("│ rolled back "))
    cells = [cell.strip() for cell in ending.split("│")[1:-1]]
    assert cells[:3] == ["rolled back", "100.0%", "91.2% … 100.0%"]
    assert cells[-1] == "5 %"
    assert (
        "most often: rolled back (100.0%), decided in canary: latency_ms is worse by at least"
        in " ".join(out.split())
    )


def test_the_same_seed_gives_the_same_figures(cli: Cli, plan: str) -> None:
    words = ("experiment", "simulate", plan, *METRICS, "--runs", "20", "--json", "--seed")
    first, again, other = (cli(*words, seed)[1] for seed in ("7", "7", "8"))
    assert first == again
    assert first != other
    found = json.loads(first)
    assert set(found["endings"]) == {"rejected"}
    assert found["endings"]["rejected"]["stage"] == "test"
    assert found["minutes"]["canary"] == pytest.approx(32, abs=3)


def simulated(cli: Cli, plan: str, *words: str) -> dict[str, Any]:
    code, out, err = cli("experiment", "simulate", plan, "--json", "--runs", "20", *words)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_a_trace_gives_traffic_and_distributions(cli: Cli, plan: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    rows = [f"{second / 10},u{second % 997},{100 + 37 * (second % 23)}" for second in range(12_000)]
    trace.write_text("time,user,latency_ms\n" + "\n".join(rows), encoding="utf-8")
    words = ("--trace", str(trace), "--metric", "rating=3.9±1.2", "--metric", "error=1%")
    code, out, _ = cli("experiment", "simulate", plan, "--runs", "2", *words)
    assert code == 0
    told = " ".join(out.split())
    assert "49.85 new users a minute, 12 requests each" in told
    assert "traffic recorded over 19m59s, and repeated for as long as a run lasts" in told
    assert any("latency_ms" in line and "506.8 ± 245.4" in line for line in out.splitlines())
    more = simulated(cli, plan, *words, "--users-per-minute", "1000", "--requests-per-user", "5")
    assert more["exposed_mean"] > 5_000


def test_faults_and_slow_approvals_take_their_time(cli: Cli, plan: str, tmp_path: Path) -> None:
    better = ("--effect", "rating=+8%")
    calm = simulated(cli, plan, *METRICS, *better)
    faults = ("--fault", "outage@5m+20m", "--fault", "controller@55m+10m")
    troubled = simulated(cli, plan, *METRICS, *better, *faults)
    assert troubled["minutes"]["canary"] == pytest.approx(calm["minutes"]["canary"] + 20, abs=3)
    text = PLAN.replace(
        "template: production", "stages: [{name: a, share: 5%, approval: required}]"
    )
    asked = tmp_path / "asked.yaml"
    asked.write_text(text, encoding="utf-8")
    waited = simulated(cli, str(asked), *METRICS, *better, "--approve-after", "2h")
    assert waited["endings"]["succeeded"]["minutes_p50"] == pytest.approx(120, abs=15)


def test_lost_units_keep_from_promoting(cli: Cli, plan: str) -> None:
    found = simulated(cli, plan, *METRICS, "--effect", "rating=+8%", "--fault", "srm@0s", *HOURS)
    assert "succeeded" not in found["endings"]


def test_fewer_looks_take_less_time_and_say_about_the_same(cli: Cli, plan: str) -> None:
    found = simulated(cli, plan, *METRICS, "--effect", "rating=+8%", "--interval", "5m")
    assert found["endings"]["succeeded"]["chance"] > 0.8
    assert found["minutes"]["canary"] == pytest.approx(40, abs=6)
    given_up = simulated(cli, plan, *METRICS, "--longest", "10m")
    assert given_up["endings"]["observing"]["minutes_p50"] is None
    _, out, _ = cli("experiment", "simulate", plan, *METRICS, "--runs", "2", "--longest", "10m")
    assert any("observing" in line and "not ended" in line for line in out.splitlines())


def test_change_windows_count_from_the_start_that_is_named(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "windows.yaml"
    window = "change_windows: [{days: mon, from: 10:00, to: 24:00}]\n"
    file.write_text(PLAN + window, encoding="utf-8")
    words = (*METRICS, "--effect", "latency_ms=+30%", "--start")
    early = simulated(cli, str(file), *words, "2026-01-05T09:00:00")
    late = simulated(cli, str(file), *words, "2026-01-05T10:00:00")
    assert early["minutes"]["canary"] == pytest.approx(late["minutes"]["canary"] + 59, abs=3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "metric rating: is judged by the plan: say what it is like, such as"),
        (("--metric", "rating=4"), "--metric rating: a rate must be above 0 and below 1, not 4"),
        (("--metric", "rating=4±0"), "--metric rating: mean and deviation must be above 0"),
        (("--metric", "rating"), "--metric: 'rating': write NAME=VALUE, each name once"),
        ((*METRICS, "--effect", "rating=-100%"), "--effect rating: must be more than -100%"),
        ((*METRICS, "--effect", "rating=more"), "--effect rating: 'more' is not a number"),
        ((*METRICS, "--effect", "ratings=1%"), "did you mean 'rating'?"),
        ((*METRICS, "--fault", "outages@1m"), "--fault: fault 'outages' is not known"),
        ((*METRICS, "--fault", "outage"), "--fault: 'outage': say when: outage@30m+10m"),
        ((*METRICS, "--fault", "srm@now"), "--fault: 'srm@now': 'now' is not a duration"),
        ((*METRICS, "--approve-after", "soon"), "--approve-after: 'soon' is not a duration"),
        ((*METRICS, "--interval", "2h"), "interval: must be 1s to 1h, not 2h"),
        ((*METRICS, "--better", "rating=up"), "--better rating: 'up' is not known"),
        (("--trace", "none.csv"), "none.csv: cannot be read"),
        (("--trace", "none.csv", "--latency", "20"), "--latency: '20': write FIRST+EACH in ms"),
    ],
)
def test_options_that_are_wrong_are_named(
    cli: Cli, plan: str, words: tuple[str, ...], message: str
) -> None:
    code, out, err = cli("experiment", "simulate", plan, *words)
    assert (code, out) == (1, "")
    assert message in err


def test_options_are_read() -> None:
    assert options.outcome("3.9 +/- 1.2") == options.outcome("3.9±1.2") == Assumed(3.9, 1.2)
    assert options.outcome("2.5%") == Rate(0.025)
    assert options.effect("-10%") == pytest.approx(-0.1)
    assert options.direction("lower") is Direction.LOWER
    assert options.latency_model("150 + 7.5") == LatencyModel(150, 7.5)
    assert options.troubles(["outage@30m+10m", "srm@1h"]) == (
        Trouble(Fault.OUTAGE, 30 * MINUTE, 10 * MINUTE),
        Trouble(Fault.LOST_UNITS, 60 * MINUTE, options.FOR_EVER),
    )
    with pytest.raises(InvalidField, match="each name once"):
        options.named("--effect", ["a=1", "a=2"], options.effect)
