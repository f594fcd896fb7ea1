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

from tests.e2e.stack import command, tidegate

WORDS = ("demo", "--stage-seconds", "2", "--rate", "900")


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
            assert any(line.startswith("canary: v2 at 5 %") for line in demo.stdout)
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


def test_the_demo_ends_with_verdict_and_proofs_and_cleans_up(tmp_path: Path) -> None:
    done = tidegate(*WORDS, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "digit-model: v1 95 %, v2 5 % → v1 75 %, v2 25 %" in said
    assert "expand: v2 at 50 %" in said
    assert re.search(r"^Verdict: v2 is better on rating", said, re.MULTILINE)
    assert re.search(r"v2 is better on rating: .* \+\d+\.\d %", said)
    units = re.search(r"✓ no unit changed .*: ([\d,]+) units watched, ([\d,]+) moved, 0 oth", said)
    assert units is not None
    watched, moved = (int(figure.replace(",", "")) for figure in units.groups())
    assert 0 < moved < watched
    events = re.search(r"✓ every event .* reported = acknowledged = aggregated = ([\d,]+)", said)
    assert events is not None
    assert int(events[1].replace(",", "")) > 3 * 2 * 900
    assert "\x1b" not in said
    assert done.stderr == ""
    assert_nothing_left(tmp_path)


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


def test_keep_leaves_a_stack_that_answers_and_can_be_stopped(tmp_path: Path) -> None:
    done = tidegate("demo", "--keep", "--stage-seconds", "1", "--rate", "200", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
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
