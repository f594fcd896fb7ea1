from dataclasses import replace
from datetime import time, timedelta

import pytest

from tests.server.domain.experiments.samples import HOUR, MINUTE, PERCENT, PLAN
from tidegate_server.domain.experiments.checks import problems
from tidegate_server.domain.experiments.plan import (
    ChangeWindow,
    Evaluation,
    Hook,
    Notification,
    Plan,
    Preflight,
    Stage,
    Threshold,
    Weekday,
)
from tidegate_server.domain.experiments.records import Action

HOOK = Hook("https://hooks.example/ready")
LIMIT = Threshold("accuracy", 0.9, floor=True)
OFFICE = ChangeWindow((Weekday.MON,), time(9), time(17), "Europe/Berlin")
TELL = Notification("https://chat.example/hook", actions=(Action.ROLL_BACK,))


def hooked(*hooks: Hook) -> Plan:
    return replace(PLAN, stages=(Stage("half", 50 * PERCENT, after=hooks),))


def evaluated(*thresholds: Threshold, **fields: object) -> Plan:
    evaluation = Evaluation(thresholds or (LIMIT,), **fields)  # type: ignore[arg-type]
    return replace(PLAN, preflight=Preflight(evaluation=evaluation))


def windowed(**fields: object) -> Plan:
    return replace(PLAN, change_windows=(OFFICE, replace(OFFICE, **fields)))  # type: ignore[arg-type]


def told(**fields: object) -> Plan:
    return replace(PLAN, notifications=(TELL, replace(TELL, **fields)))  # type: ignore[arg-type]


def healthy_at(address: str) -> Plan:
    return replace(PLAN, preflight=Preflight(health=address))


@pytest.mark.parametrize(
    "plan",
    [
        hooked(HOOK, Hook("http://10.0.0.7:8080/x?stage=half", 10 * MINUTE)),
        evaluated(LIMIT, replace(LIMIT, floor=False), command=("python", "eval.py", "")),
        evaluated(url="http://eval.example"),
        healthy_at("model.example:50051"),
        healthy_at("[fd00::7]:443"),
        windowed(end=time(), zone="UTC", days=tuple(Weekday)),
        told(actions=()),
        replace(PLAN, description="x" * 2_000, labels=(("team", "platform"),)),
    ],
)
def test_what_is_sound_has_no_problems(plan: Plan) -> None:
    assert problems(plan) == ()


@pytest.mark.parametrize(
    ("plan", "field", "words"),
    [
        (hooked(*[HOOK] * 21), "stages[0].after", "at most 20"),
        (hooked(HOOK, replace(HOOK, url="ftp://a")), "stages[0].after[1].url", "is no URL"),
        (hooked(replace(HOOK, url="https:///path")), "stages[0].after[0].url", "https://host/path"),
        (hooked(replace(HOOK, url="http://a:x/")), "stages[0].after[0].url", "is no URL"),
        (hooked(replace(HOOK, url="http://a b/")), "stages[0].after[0].url", "is no URL"),
        (hooked(replace(HOOK, url="http://a..b/")), "stages[0].after[0].url", "is no URL"),
        (hooked(replace(HOOK, url="http://a/\n")), "stages[0].after[0].url", "is no URL"),
        (
            hooked(replace(HOOK, url="https://me:secret@a/")),
            "stages[0].after[0].url",
            "everyone who may read the experiment would see it",
        ),
        (hooked(replace(HOOK, timeout=11 * MINUTE)), "stages[0].after[0].timeout", "at most 10m"),
        (hooked(replace(HOOK, timeout=timedelta())), "stages[0].after[0].timeout", "more than 0s"),
        (
            replace(PLAN, stages=(Stage("half", 50 * PERCENT, before=(Hook(""),)),)),
            "stages[0].before[0].url",
            "'' is no URL",
        ),
        (healthy_at("model.example"), "preflight.health", "give host:port"),
        (healthy_at(":50051"), "preflight.health", "give host:port"),
        (healthy_at("model.example:0"), "preflight.health", "give host:port"),
        (healthy_at("http://model.example:1"), "preflight.health", "give host:port"),
        (healthy_at("model.example:99999"), "preflight.health", "give host:port"),
        (healthy_at("me@model.example:1"), "preflight.health", "give host:port"),
        (evaluated(), "preflight.evaluation", "neither a command nor a URL"),
        (evaluated(url="http://a", command=("x",)), "preflight.evaluation", "both a command"),
        (evaluated(url="a"), "preflight.evaluation.url", "is no URL"),
        (evaluated(command=("",)), "preflight.evaluation.command[0]", "name the program"),
        (evaluated(command=("x", "\0")), "preflight.evaluation.command[1]", "NUL"),
        (evaluated(command=("x",) * 101), "preflight.evaluation.command", "1 to 100"),
        (evaluated(command=("x" * 4_001,)), "preflight.evaluation.command[0]", "4,001 characters"),
        (
            evaluated(url="http://a", timeout=25 * HOUR),
            "preflight.evaluation.timeout",
            "at most 1d",
        ),
        (
            evaluated(LIMIT, LIMIT, url="http://a"),
            "preflight.evaluation.thresholds[1]",
            "is a second min of accuracy",
        ),
        (
            evaluated(replace(LIMIT, limit=float("nan")), url="http://a"),
            "preflight.evaluation.thresholds[0].min",
            "finite",
        ),
        (
            evaluated(replace(LIMIT, metric=""), url="http://a"),
            "preflight.evaluation.thresholds[0].metric",
            "give 1 to 200",
        ),
        (
            evaluated(*[Threshold(f"m{n}", 1) for n in range(51)], url="http://a"),
            "preflight.evaluation.thresholds",
            "give 1 to 50",
        ),
        (
            replace(PLAN, preflight=Preflight(evaluation=Evaluation((), url="http://a"))),
            "preflight.evaluation.thresholds",
            "give 1 to 50",
        ),
        (windowed(days=()), "change_windows[1].days", "names no day"),
        (windowed(start=time(17)), "change_windows[1].end", "00:00 for the end of the day"),
        (windowed(start=time(8, 0, 1)), "change_windows[1].start", "no whole minute"),
        (windowed(zone="Europe/Berln"), "change_windows[1].zone", "did you mean 'Europe/Berlin'"),
        (windowed(zone="../etc/passwd"), "change_windows[1].zone", "is not known"),
        (replace(PLAN, change_windows=(OFFICE,) * 21), "change_windows", "at most 20"),
        (told(url="http://u@a"), "notifications[1].url", "leave it out"),
        (told(actions=("rol back",)), "notifications[1].actions[0]", "did you mean 'roll back'?"),
        (told(actions=("start", "start")), "notifications[1].actions[1]", "occurs twice"),
        (replace(PLAN, notifications=(TELL,) * 21), "notifications", "at most 20"),
        (replace(PLAN, description="x" * 2_001), "description", "2,001 characters"),
        (replace(PLAN, labels=(("Team", "a"),)), "labels.Team", "not a valid name"),
        (replace(PLAN, labels=(("team", ""),)), "labels.team", "give 1 to 100"),
        (replace(PLAN, labels=tuple((f"l{n}", "a") for n in range(21))), "labels", "at most 20"),
    ],
)
def test_what_is_wrong_is_named_with_its_fix(plan: Plan, field: str, words: str) -> None:
    (problem,) = problems(plan)
    assert problem.field == field
    assert words in problem.problem


def test_all_is_named_at_once() -> None:
    wrong = replace(
        evaluated(LIMIT, LIMIT),
        stages=(Stage("half", 50 * PERCENT, before=(Hook("", timedelta()),)),),
        change_windows=(replace(OFFICE, days=(), zone=""),),
        notifications=(Notification("", actions=("dance",)),),
    )
    assert [each.field for each in problems(wrong)] == [
        "stages[0].before[0].url",
        "stages[0].before[0].timeout",
        "preflight.evaluation",
        "preflight.evaluation.thresholds[1]",
        "change_windows[0].days",
        "change_windows[0].zone",
        "notifications[0].url",
        "notifications[0].actions[0]",
    ]
