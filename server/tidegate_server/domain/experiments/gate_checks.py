"""What a plan may say of the world outside: hooks, preflight, change windows, notifications."""

import math
from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import available_timezones

from tidegate_server.domain.checks import unknown
from tidegate_server.domain.experiments import limits
from tidegate_server.domain.experiments.limits import Problems
from tidegate_server.domain.experiments.plan import (
    ChangeWindow,
    Evaluation,
    Hook,
    Notification,
    Plan,
    Preflight,
)
from tidegate_server.domain.experiments.records import Action
from tidegate_server.domain.experiments.windows import MIDNIGHT
from tidegate_server.errors import InvalidField

MOST_HOOKS = MOST_NOTIFICATIONS = MOST_WINDOWS = 20
MOST_THRESHOLDS = 50
MOST_ARGUMENTS, LONGEST_ARGUMENT = 100, 4_000
LONGEST_HOOK = timedelta(minutes=10)
LONGEST_EVALUATION = timedelta(days=1)


def hooks(field: str, given: Sequence[Hook]) -> Problems:
    """Check what must agree before, or after, a stage."""
    yield from limits.count(field, given, 0, MOST_HOOKS)
    for index, hook in enumerate(given[:MOST_HOOKS]):
        yield from limits.url(f"{field}[{index}].url", hook.url)
        yield from limits.timeout(f"{field}[{index}].timeout", hook.timeout, LONGEST_HOOK)


def preflight(given: Preflight, interval: timedelta) -> Problems:
    """Check the checks before any traffic. interval: between two looks."""
    yield from limits.span("preflight.limit", given.limit, interval)
    if given.health:
        yield from limits.host_and_port("preflight.health", given.health)
    if given.evaluation is not None:
        yield from _evaluation("preflight.evaluation", given.evaluation)


def change_windows(plan: Plan) -> Problems:
    """Check when shares may rise."""
    yield from limits.count("change_windows", plan.change_windows, 0, MOST_WINDOWS)
    zones = available_timezones() if plan.change_windows else set()
    for index, window in enumerate(plan.change_windows[:MOST_WINDOWS]):
        field = f"change_windows[{index}]"
        yield from _window(field, window)
        if window.zone not in zones:
            yield InvalidField(f"{field}.zone", f"time zone {unknown(window.zone, sorted(zones))}")


def notifications(plan: Plan) -> Problems:
    """Check where decisions are told."""
    yield from limits.count("notifications", plan.notifications, 0, MOST_NOTIFICATIONS)
    for index, each in enumerate(plan.notifications[:MOST_NOTIFICATIONS]):
        yield from _notification(f"notifications[{index}]", each)


def _evaluation(field: str, given: Evaluation) -> Problems:
    if bool(given.command) == bool(given.url):
        both = "both a command and a URL" if given.url else "neither a command nor a URL"
        yield InvalidField(field, f"has {both}: give one of them")
    if given.url:
        yield from limits.url(f"{field}.url", given.url)
    if given.command:
        yield from _command(f"{field}.command", given.command)
    yield from limits.timeout(f"{field}.timeout", given.timeout, LONGEST_EVALUATION)
    yield from _thresholds(f"{field}.thresholds", given)


def _command(field: str, command: Sequence[str]) -> Problems:
    yield from limits.count(field, command, 1, MOST_ARGUMENTS)
    if not command[0]:
        yield InvalidField(f"{field}[0]", "is empty: name the program")
    for index, argument in enumerate(command[:MOST_ARGUMENTS]):
        yield from limits.length(f"{field}[{index}]", argument, 0, LONGEST_ARGUMENT)
        if "\0" in argument:
            yield InvalidField(f"{field}[{index}]", "holds a NUL character: leave it out")


def _thresholds(field: str, given: Evaluation) -> Problems:
    yield from limits.count(field, given.thresholds, 1, MOST_THRESHOLDS)
    seen = set()
    for index, each in enumerate(given.thresholds[:MOST_THRESHOLDS]):
        side = "min" if each.floor else "max"
        yield from limits.length(f"{field}[{index}].metric", each.metric, 1, 200)
        if not math.isfinite(each.limit):
            yield InvalidField(f"{field}[{index}].{side}", "must be a finite number")
        if (each.metric, each.floor) in seen:
            yield InvalidField(
                f"{field}[{index}]", f"is a second {side} of {each.metric}: keep one"
            )
        seen.add((each.metric, each.floor))


def _window(field: str, window: ChangeWindow) -> Problems:
    if not window.days:
        yield InvalidField(f"{field}.days", "names no day: give at least one")
    for side, moment in (("start", window.start), ("end", window.end)):
        if moment != moment.replace(second=0, microsecond=0, tzinfo=None):
            yield InvalidField(f"{field}.{side}", f"{moment} is no whole minute: give HH:MM")
    if not (window.start < window.end or window.end == MIDNIGHT):
        yield InvalidField(
            f"{field}.end",
            f"is {window.end:%H:%M}, not after the start, {window.start:%H:%M}: give a later time, "
            "or 00:00 for the end of the day, and the rest of the night as a window of its own",
        )


def _notification(field: str, given: Notification) -> Problems:
    yield from limits.url(f"{field}.url", given.url)
    known = [each.value for each in Action]
    for index, action in enumerate(given.actions):
        if action not in known:
            yield InvalidField(f"{field}.actions[{index}]", f"action {unknown(action, known)}")
        elif action in given.actions[:index]:
            yield InvalidField(
                f"{field}.actions[{index}]", f"{action!r} occurs twice: name it once"
            )
