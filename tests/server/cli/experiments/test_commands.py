"""Experiments from the command line, against a whole stack with its controller."""

import asyncio
import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.experiments.traffic import traffic
from tests.e2e.faults.proxy import Cut, Direction, cutting_proxy
from tests.e2e.stack import command
from tests.server.cli.conftest import Cli

FLAG = """\
flag: {key}
default: v1
variants: {{v1: {{rating: 4.0, error: 0.01}}, v2: {{rating: {rating}, error: {error}}}}}
split: {{v1: 100%, v2: 0%}}
"""
PLAN = """\
experiment: {key}
flag: {flag}
control: v1
treatment: {treatment}
goal: {{metric: rating, min_effect: 3%, planned_units: 2000}}
guardrails:
  - {{metric: error, max: 20%, window: 10s}}
  - {{metric: latency_ms, margin: 30%}}
quality: {{burn_in: 80}}
stages:
  - {{name: test, share: 30%, bake: 2s, min_units: 80, passes: 2, decide: true}}
  - {{name: full, share: 100%}}
watch: 1s
interval: 1s
{more}
"""
SLOW_STAGE = PLAN.replace("bake: 2s", "bake: 10m")
Files = Callable[..., Path]


@pytest.fixture
def files(tidegate: Cli, tmp_path: Path, request: pytest.FixtureRequest) -> Files:
    """Create a flag named after the test, and write an experiment file on it."""
    key = request.node.name.removeprefix("test_")[:40]
    flag = tmp_path / "flag.yaml"
    flag.write_text(FLAG.format(key=key, rating=4.4, error=0.01), encoding="utf-8")
    assert tidegate("flag", "apply", str(flag))[0] == 0

    def write(text: str = SLOW_STAGE, *, treatment: str = "v2", more: str = "") -> Path:
        file = tmp_path / f"{key}.yaml"
        file.write_text(
            text.format(key=key, flag=key, treatment=treatment, more=more), encoding="utf-8"
        )
        return file

    return write


def test_a_draft_is_started_by_the_same_command(tidegate: Cli, files: Files) -> None:
    file = files()
    key = file.stem
    code, out, err = tidegate("experiment", "validate", str(file))
    assert (code, err) == (0, "")
    assert out == f"{file}: nothing is wrong: v2 against v1: test 30 %, full 100 %\n"
    assert tidegate("experiment", "start", str(file), "--draft")[0] == 0
    assert tidegate("experiment", "start", str(file), "--draft")[0] == 0  # as it is already
    code, out, _ = tidegate("experiment", "list", "--flag", key)
    assert code == 0
    (row,) = (line for line in out.splitlines() if f" {key} " in line)
    assert [cell.strip() for cell in row.split("│")[3:6]] == ["v2", "0 %", "draft"]
    assert "somebody starts it" in tidegate("experiment", "status", key)[1]
    assert "nothing was decided yet" in tidegate("experiment", "log", key)[1]
    assert "nothing was decided of" in tidegate("experiment", "explain", key)[2]
    code, out, _ = tidegate("experiment", "start", str(file), "--why", "release 2")
    assert code == 0
    assert "start, asked for by " in out
    assert out.endswith(": release 2\n")


def test_people_intervene_and_the_log_keeps_who_and_why(tidegate: Cli, files: Files) -> None:
    file = files()
    key = file.stem
    assert tidegate("experiment", "start", str(file), "--actor", "anna")[0] == 0
    code, out, _ = tidegate("experiment", "pause", key, "--actor", "bo", "--why", "lunch")
    assert code == 0
    assert out.startswith(f"experiment {key}: paused, v2 has ")
    assert out.endswith("  pause, asked for by bo: lunch\n")
    assert tidegate("experiment", "resume", key)[0] == 0
    assert tidegate("experiment", "approve", key)[0] == 1
    code, out, _ = tidegate("experiment", "abort", key)
    assert code == 0
    assert tidegate("experiment", "watch", key)[0] == 1  # it has ended, but not well
    code, out, _ = tidegate("experiment", "log", key, "--json")
    log = json.loads(out)
    assert [int(each["number"]) for each in log] == list(range(1, len(log) + 1))
    asked = [each for each in log if each["actor"] != "controller"]
    assert [each["action"] for each in asked] == ["start", "pause", "resume", "abort"]
    assert [each["actor"] for each in asked[:2]] == ["anna", "bo"]
    assert "@" in asked[2]["actor"]
    assert "lunch" in tidegate("experiment", "log", key)[1]
    code, out, _ = tidegate("experiment", "explain", key, "1")
    assert code == 0
    assert out.startswith(f"{key}: decision 1, start in test: start, asked for by anna")
    assert tidegate("experiment", "explain", key, "99")[0] == 1
    assert tidegate("experiment", "retry", key)[0] == 0
    assert "entering a stage" in tidegate("experiment", "skip", key)[1]
    assert "abort it first" in tidegate("experiment", "delete", key, "--yes")[2]
    assert tidegate("experiment", "abort", key)[0] == 0


def on_a_terminal(address: str, *words: str) -> tuple[int, str]:
    """Run a command line on a terminal; return its exit code and what the terminal was sent."""
    ours, theirs = pty.openpty()
    try:
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "150"}
        with subprocess.Popen(
            command("--server", address, *words), stdout=theirs, env=environment
        ) as process:
            os.close(theirs)
            sent = b"".join(iter(lambda: _read(ours), b""))
        return process.returncode, sent.decode()
    finally:
        os.close(ours)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other end was closed
        return b""


def test_on_a_terminal_it_is_watched_in_place(
    tidegate: Cli, files: Files, server_address: str
) -> None:
    file = files()
    assert tidegate("experiment", "start", str(file))[0] == 0
    assert tidegate("experiment", "abort", file.stem)[0] == 0
    code, sent = on_a_terminal(server_address, "experiment", "watch", file.stem)
    assert code == 1
    assert f"{file.stem}\x1b[0m: " in sent
    assert "aborted" in sent
    assert {"▶", "█", "░"} <= set(sent)


def found_status(tidegate: Cli, key: str) -> dict[str, Any]:
    code, out, _ = tidegate("experiment", "status", key, "--json")
    assert code == 0
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_what_has_ended_is_deleted_with_its_log(tidegate: Cli, files: Files) -> None:
    file = files()
    key = file.stem
    tidegate("experiment", "start", str(file), "--draft")
    assert found_status(tidegate, key)["state"]["status"] == "EXPERIMENT_STATUS_DRAFT"
    code, _, err = tidegate("experiment", "delete", key)
    assert (code, err) == (
        1,
        f"error: experiment delete {key}: there is no terminal to ask at; add --yes\n",
    )
    assert tidegate("experiment", "delete", key, "--yes") == (0, f"deleted experiment {key}\n", "")
    code, _, err = tidegate("experiment", "status", key)
    assert code == 1
    assert f"experiment '{key}' is not known" in err
    assert tidegate("experiment", "list", "--flag", key) == (
        0,
        "there are no experiments: start one with `tidegate experiment start FILE.yaml`\n",
        "",
    )
    assert json.loads(tidegate("experiment", "list", "--flag", key, "--json")[1]) == []


def test_what_the_server_finds_wrong_is_named_in_the_file(tidegate: Cli, files: Files) -> None:
    file = files(treatment="v3")
    for words in (("validate",), ("start",), ("start", "--draft")):
        code, out, err = tidegate("experiment", words[0], str(file), *words[1:])
        assert (code, out) == (1, "")
        assert err == (
            f"error: {file}:4:12: treatment: variant 'v3' is not known; known are 'v1', 'v2'\n"
        )
    assert tidegate("experiment", "validate", str(file), "--offline")[0] == 0


def test_a_plan_that_never_decides_says_that_its_goal_is_not_waited_for(
    tidegate: Cli, files: Files
) -> None:
    file = files()
    said = "note: no stage decides, so v2 is promoted unless harm is shown"
    for words in (("validate",), ("start", "--draft")):
        assert said not in tidegate("experiment", *words, str(file))[1]
        tidegate("experiment", "delete", file.stem, "--yes")
    file.write_text(file.read_text().replace(", decide: true", ""))
    for words in (("validate",), ("start", "--draft")):
        code, out, _ = tidegate("experiment", *words, str(file))
        assert code == 0
        assert said in out
        assert "whatever becomes of rating, latency_ms" in out


def test_another_plan_needs_another_key(tidegate: Cli, files: Files) -> None:
    tidegate("experiment", "start", str(files()), "--draft")
    changed = files(more="deadline: 1d")
    code, _, err = tidegate("experiment", "start", str(changed))
    assert code == 1
    assert "is a draft of another plan, and a plan can't be changed" in err
    assert "+ deadline: 86400s" in err
    file = files()
    assert tidegate("experiment", "start", str(file))[0] == 0
    code, _, err = tidegate("experiment", "start", str(file))
    assert code == 1
    assert f"`tidegate experiment status {file.stem}` shows it" in err
    assert tidegate("experiment", "abort", file.stem)[0] == 0
    tidegate("experiment", "watch", file.stem)
    assert "retry" in tidegate("experiment", "start", str(file))[2]


def test_what_can_not_start_stays_a_draft(tidegate: Cli, files: Files) -> None:
    file = files()
    assert tidegate("flag", "split", file.stem, "v1=50", "v2=50")[0] == 0
    code, _, err = tidegate("experiment", "start", str(file))
    assert code == 1
    assert "lower the split first" in err
    assert err.endswith("it stays a draft: mend that and start it again\n")
    assert tidegate("flag", "split", file.stem, "v1=100", "v2=0")[0] == 0
    assert tidegate("experiment", "start", str(file))[0] == 0


def test_a_rollout_is_watched_to_its_end(tidegate: Cli, files: Files, server_address: str) -> None:
    file = files(PLAN)
    key = file.stem
    with traffic(server_address, 200, [key]):
        assert tidegate("experiment", "start", str(file))[0] == 0
        code, out, err = tidegate("experiment", "watch", key)
    assert (code, err) == (0, "")
    head, *rest = out.splitlines()
    assert head.startswith(f"experiment {key}: ")
    lines = [line.split(": ")[0].split(" ", 2)[2] for line in rest]
    assert lines[:2] == ["start in test, 0 %", "enter in test, 30 %"]
    assert lines[-2:] == ["promote in full, 100 %", "finish in full, 100 %"]
    assert "rating is better by at least" in out
    code, out, _ = tidegate("experiment", "status", key)
    assert code == 0
    assert f"{key}: succeeded on {key}: v2 has 100 % of the units" in out
    (goal,) = (line for line in out.splitlines() if line.startswith("goal "))
    assert {"[", "]", "o", "T", "|"} <= set(goal.rpartition("wanted 3.0%")[2])
    assert "rating, change under the treatment; " in out
    number = next(
        str(each["number"])
        for each in json.loads(tidegate("experiment", "log", key, "--json")[1])
        if each["verdict"] == "VERDICT_WIN"
    )
    explained = tidegate("experiment", "explain", key, number)[1]
    assert "shown to be better" in explained
    assert "rating, change under the treatment; " in explained


def test_watching_goes_on_when_its_connection_was_cut(
    tidegate: Cli, files: Files, server_address: str
) -> None:
    file = files()
    key = file.stem
    assert tidegate("experiment", "start", str(file))[0] == 0
    host, port = server_address.split(":")
    with cutting_proxy(lambda: asyncio.open_connection(host, int(port))) as proxy:
        words = command("--server", proxy.address, "experiment", "watch", key)
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            assert any("start in test, 0 %" in line for line in watching.stdout)
            proxy.order(Cut(Direction.REPLY, after=0))
            assert tidegate("experiment", "pause", key)[0] == 0
            assert any("trying again" in line for line in watching.stdout)
            assert any("pause in test" in line for line in watching.stdout)
            assert tidegate("experiment", "abort", key)[0] == 0
            rest = watching.stdout.read()
            assert rest.count("abort in test") == 1
            assert "pause in test" not in rest  # no decision is told twice
    assert watching.returncode == 1


def test_what_is_deleted_is_watched_no_more(
    tidegate: Cli, files: Files, server_address: str
) -> None:
    file = files()
    tidegate("experiment", "start", str(file), "--draft")
    words = command("--server", server_address, "experiment", "watch", file.stem)
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "draft, v2 has 0 %" in watching.stdout.readline()
        assert tidegate("experiment", "delete", file.stem, "--yes")[0] == 0
        said = watching.stderr.read()  # it may have been deleted before the stream began
        assert said.startswith(f"error: experiment '{file.stem}' ")
        assert "was deleted" in said or "is not known" in said
    assert watching.returncode == 1
    code, _, err = tidegate("experiment", "watch", file.stem)
    assert code == 1
    assert "is not known" in err
