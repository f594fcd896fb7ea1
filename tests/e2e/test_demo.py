"""`tidegate demo`: the whole way, as a user goes it, and nothing is left behind."""

import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.stack import command, tidegate

WORDS = ("demo", "--speed", "1200", "--rate", "1500")


@contextmanager
def running_demo(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a demo in `folder`, and wait until it serves users."""
    with subprocess.Popen(
        command(*WORDS, *words),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            assert demo.stdout is not None
            assert any("canary is ready: v2 has 5 %" in line for line in demo.stdout)
            yield demo
        finally:
            demo.kill()


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of running processes that name `folder`."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in words:
            found.append(words)
    return found


def assert_nothing_left(folder: Path) -> None:
    assert list(folder.iterdir()) == []
    assert processes_in(folder) == []


def check_rollouts(done: subprocess.CompletedProcess[str]) -> None:
    """Check that one was promoted, one rolled back, and that both proofs hold."""
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    for line in (
        "preflight checks are passed",
        "canary is ready: v2 has 5 %",
        "test is ready: v2 has 25 %",
        "expand is ready: v2 has 50 %",
        "full is ready: v2 has 100 %",
        "canary is ready: v3 has 5 %",
    ):
        assert line in said
    assert re.search(r"✓ v2 succeeded: rating is better by at least \d+\.\d%; healthy", said)
    assert re.search(r"✓ v3 rolled back: rating is (\d\.\d+ over the last 10s|worse by)", said)
    units = re.search(r"✓ no unit changed .*: ([\d,]+) units watched, ([\d,]+) moves, 0 oth", said)
    assert units is not None
    watched, moves = (int(figure.replace(",", "")) for figure in units.groups())
    assert 0 < moves < watched
    events = re.search(r"✓ every event .* reported = acknowledged = aggregated = ([\d,]+)", said)
    assert events is not None
    assert int(events[1].replace(",", "")) > 3 * 5_000
    assert (
        len(re.findall(r"^  pages   http://\S+/\?token=\S+ \(to operate\)$", said, re.MULTILINE))
        == 1
    )
    assert "\x1b" not in said
    assert done.stderr == ""


def test_a_demo_that_is_interrupted_cleans_up(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.send_signal(signal.SIGINT)
        _, problems = demo.communicate(timeout=30)
        assert demo.returncode not in (0, None)
        assert "Traceback" not in problems
    assert_nothing_left(tmp_path)


def test_a_stack_that_dies_ends_the_demo_with_its_log(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        (folder,) = (tmp_path / ".tidegate").iterdir()
        roles = json.loads((folder / "roles.json").read_text())
        os.kill(roles["supervisor"]["pid"], signal.SIGKILL)
        _, problems = demo.communicate(timeout=60)
        assert demo.returncode == 1
        assert "Traceback" not in problems
        assert problems.startswith("error: ")
    assert_nothing_left(tmp_path)


@pytest.mark.slow  # as the test below, but for --keep
def test_a_demo_that_is_done_leaves_nothing(tmp_path: Path) -> None:
    check_rollouts(tidegate(*WORDS, cwd=tmp_path))
    assert_nothing_left(tmp_path)


def test_both_rollouts_end_as_they_should_and_a_kept_stack_answers(tmp_path: Path) -> None:
    done = tidegate(*WORDS, "--keep", cwd=tmp_path)
    check_rollouts(done)
    stop = re.search(r"kill (\d+)", done.stdout)
    look = re.search(r"tidegate --server (\S+) report digit-model", done.stdout)
    assert stop is not None
    pid = int(stop[1])
    try:
        assert look is not None
        report = tidegate("--server", look[1], "report", "digit-model")
        assert report.returncode == 0
        assert "rating" in report.stdout
    finally:
        end = os.pidfd_open(pid)
        signal.pidfd_send_signal(end, signal.SIGTERM)
        await_end(end)
    assert processes_in(tmp_path) == []


def await_end(process: int) -> None:
    """Wait until the process of a pidfd has ended."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    assert poll.poll(30_000)
    os.close(process)
