"""Evaluation sets: a URL or a command gives metrics, which must keep their thresholds."""

import asyncio
import json
import math
import os
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from tidegate_server.controller.checks.outcome import AGAIN, PASSED, Outcome, Say, failed
from tidegate_server.controller.web import Web
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.plan import Evaluation, Threshold

MOST_BYTES = 1 << 20
"""How much of the metrics, and of a program's errors, is read."""

SHOWN = 500
"""How many characters of a program's errors are shown, the last ones."""


async def evaluate(evaluation: Evaluation, allowed: Collection[str], web: Web, say: Say) -> Outcome:
    """Get the metrics and compare them. allowed: programs that may be run."""
    if evaluation.url:
        return await _of_url(evaluation, web, say)
    program = evaluation.command[0]
    if program not in allowed:
        return failed(
            f"this controller may not run {program!r}: "
            "add it to TIDEGATE_EVALUATION_COMMANDS there, or give a url"
        )
    say("the program runs")
    return await _of_command(evaluation)


async def _of_url(evaluation: Evaluation, web: Web, say: Say) -> Outcome:
    failures = 0
    while True:
        answer = await web.get(evaluation.url, evaluation.timeout.total_seconds(), MOST_BYTES)
        if answer.ok:
            return judge_metrics(answer.text, evaluation.thresholds)
        if not answer.temporary:
            return failed(str(answer))
        say(str(answer))
        failures += 1
        await asyncio.sleep(AGAIN.pause(failures))


async def _of_command(evaluation: Evaluation) -> Outcome:
    """Run a program, without a shell, and end it with all that it started when its time is over."""
    try:
        process = await asyncio.create_subprocess_exec(
            *evaluation.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_without_settings(),
            start_new_session=True,
        )
    except OSError as error:
        return failed(f"{evaluation.command[0]!r} can't be run: {error.strerror}")
    try:
        async with asyncio.timeout(evaluation.timeout.total_seconds()):
            said, errors = await asyncio.gather(
                _read(process.stdout, MOST_BYTES), _read(process.stderr, MOST_BYTES)
            )
            code = await process.wait()
    except TimeoutError:
        return failed(f"the program did not end within {format_duration(evaluation.timeout)}")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code != 0:
        end = errors.decode(errors="replace").strip()[-SHOWN:]
        return failed(f"the program ended with {code}: {end or 'it said nothing'}")
    return judge_metrics(said.decode(errors="replace"), evaluation.thresholds)


def _without_settings() -> dict[str, str]:
    """Return this process's environment without its settings, which hold secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}


async def _read(stream: asyncio.StreamReader | None, most: int) -> bytes:
    """Read to the end and keep the first bytes."""
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(1 << 16)):
        kept += chunk[: most - len(kept)]
    return bytes(kept)


def judge_metrics(text: str, thresholds: Collection[Threshold]) -> Outcome:
    """Compare a JSON object of numbers with thresholds; every one that is missed is named."""
    try:
        metrics = json.loads(text)
    except ValueError:
        return failed(f"the answer is not JSON: {text[:100]!r}")
    if not isinstance(metrics, dict):
        return failed(f"the answer is no JSON object: {text[:100]!r}")
    missed = list(_missed(metrics, thresholds))
    return failed("; ".join(missed)) if missed else PASSED


def _missed(metrics: Mapping[str, object], thresholds: Collection[Threshold]) -> Iterator[str]:
    for each in thresholds:
        value = metrics.get(each.metric)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            given = "is missing" if value is None else f"is {value!r}, which is no number"
            yield f"{each.metric} {given}"
        elif value < each.limit if each.floor else value > each.limit:
            side = "at least" if each.floor else "at most"
            yield f"{each.metric} is {value:.6g}; {side} {each.limit:.6g} is wanted"
