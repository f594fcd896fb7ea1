"""The examples as a newcomer runs them: against a real `tidegate up`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack, running_stack

ROOT = Path(__file__).parents[2]
FLAG_FILE = ROOT / "examples" / "model_rollout" / "flag.yaml"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("tidegate")) as running:
        running.cli("flag", "apply", str(FLAG_FILE))
        yield running


def test_quickstart_says_what_it_was_given_and_that_all_arrived(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, "examples/quickstart.py"],
        cwd=ROOT,
        env={**os.environ, "TIDEGATE_SERVER": stack.address},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "because SPLIT" in done.stdout
    assert "acknowledged=400, dropped=0, refused=0" in done.stdout
    assert done.stderr == ""


def test_the_application_sends_everything_before_it_ends(stack: Stack, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    words = ("--server", stack.address, "--rate", "500", "--result", str(ledger))
    with subprocess.Popen(
        [sys.executable, "-m", "examples.model_rollout", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "serving\n"
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(2)
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0
    content = json.loads(ledger.read_text())
    reported = sum(count for _, _, count in content["reported"])
    assert reported > 100
    assert content["acknowledged"] == reported + sum(content["exposures"].values())
    assert (content["dropped"], content["refused"], content["flushed"]) == (0, 0, True)
