import re
from datetime import time, timedelta
from pathlib import Path

import pytest

from tidegate.model import PPM
from tidegate_server.analysis.decision import EffectRule
from tidegate_server.cli.clause_document import Document
from tidegate_server.cli.document_file import DocumentError
from tidegate_server.cli.experiment_document import (
    ChangeWindowDocument,
    EvaluationDocument,
    ExperimentDocument,
    GoalDocument,
    GuardrailDocument,
    HookDocument,
    LeaseDocument,
    NotificationDocument,
    PreflightDocument,
    QualityDocument,
    RollbackDocument,
    StageDocument,
    ThresholdDocument,
)
from tidegate_server.cli.experiment_file import parse_experiment_file, read_experiment_file
from tidegate_server.domain.experiments.checks import problems
from tidegate_server.domain.experiments.plan import (
    AfterHold,
    AfterLease,
    Ceiling,
    ChangeWindow,
    Evaluation,
    Goal,
    Hook,
    Lease,
    Margin,
    MetricName,
    Notification,
    NotificationFormat,
    Preflight,
    QualityRules,
    Rollback,
    RollbackMode,
    Stage,
    Threshold,
    Weekday,
)
from tidegate_server.domain.experiments.templates import TEMPLATES
from tidegate_server.domain.metrics import Statistic

MINUTE = timedelta(minutes=1)
NAMES = "experiment: e\nflag: f\ncontrol: v1\ntreatment: v2\n"
STAGES = "stages: [{name: all, share: 50%}]\n"
GUARDRAILS = "guardrails: [{metric: error, max: 5%}]\n"

CHAT_V2 = """\
experiment: chat-v2
flag: chat-model
control: v1
treatment: v2
goal: {metric: rating, min_effect: 5%}
guardrails:
  - {metric: error, max: 5%, window: 2m}            # an absolute ceiling
  - {metric: error, margin: 10%}                    # not worse than control by more
  - {metric: latency_ms.p99, margin: 15%}
stages:
  - {name: canary, share: 5%, bake: 30m, min_units: 300}
  - {name: test, share: 25%, bake: 30m, min_units: 1000, decide: true}
  - {name: expand, share: 50%, bake: 60m, approval: required}
  - {name: full, share: 100%}
"""


def test_the_example_of_the_design_is_read() -> None:
    plan = parse_experiment_file("chat-v2.yaml", CHAT_V2).plan
    assert (plan.key, plan.flag, plan.control, plan.treatment) == (
        "chat-v2",
        "chat-model",
        "v1",
        "v2",
    )
    assert plan.goal == Goal(MetricName("rating"), 0.05)
    assert plan.guardrails == (
        Ceiling(MetricName("error"), 0.05, window=2 * MINUTE),
        Margin(MetricName("error"), 0.1, 0.1),
        Margin(MetricName("latency_ms", Statistic.P99), 0.15, 0.15),
    )
    assert plan.stages == (
        Stage("canary", 50_000, 30 * MINUTE, 300),
        Stage("test", 250_000, 30 * MINUTE, 1_000, decide=True),
        Stage("expand", 500_000, 60 * MINUTE, approval=True),
        Stage("full", PPM),
    )
    assert plan.interval == timedelta(seconds=10)


def test_every_other_field_is_read(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(
        NAMES
        + """\
description: what for
labels: {team: platform}
goal: {metric: rating, rule: point, tolerance: 0.1, planned_units: 20000}
guardrails:
  - {metric: rating, min: 3.5, window: 10m, min_events: 100, looks: 3 of 5}
  - {metric: cost_usd, margin: 2.5%, tolerance: 7.1%}
quality: {alpha: 1%, burn_in: 500, silence: 1m}
preflight:
  limit: 5m
  health: 10.0.0.9:8001
  evaluation:
    command: [python, -m, evals, --set, golden]
    timeout: 10m
    metrics: {accuracy: {min: 90%}, toxicity: {max: 1%}, BLEU 4: {min: 20, max: 60}}
stages:
  - name: a
    share: 0.0001%
    passes: 4
    approval: none
    hold_limit: 1h
    then: continue
    before: [{url: "https://ops.example/ready", timeout: 5s}, https://ops.example/quota]
    after: https://ops.example/cost
  - {name: b, ratio: 50%}
watch: 2h
rollback: {mode: stepwise, step: 30s, cool_down: 1d, retries: 1}
lease: {duration: 20m, then: control}
deadline: 2w
interval: 30s
change_windows:
  - {days: [mon, tue], from: 09:00, to: 17:30, zone: Europe/Berlin}
  - {days: fri, from: "8:00", to: 24:00}
notifications:
  - {url: "https://hooks.example/T1", format: slack, on: [roll back, promote]}
  - {url: http://localhost:9000/events, on: hold}
  - {url: https://ops.example/all}
""",
        encoding="utf-8",
    )
    plan = read_experiment_file(file).plan
    assert plan.goal == Goal(MetricName("rating"), 0.0, EffectRule.POINT, 0.1, 20_000)
    assert plan.guardrails == (
        Ceiling(MetricName("rating"), 3.5, True, 10 * MINUTE, 100, 3, 5),
        Margin(MetricName("cost_usd"), 0.025, 0.071),
    )
    assert plan.quality == QualityRules(0.01, 500, MINUTE)
    thresholds = (
        Threshold("accuracy", 0.9, floor=True),
        Threshold("toxicity", 0.01),
        Threshold("BLEU 4", 20, floor=True),
        Threshold("BLEU 4", 60),
    )
    command = ("python", "-m", "evals", "--set", "golden")
    evaluation = Evaluation(thresholds, command, timeout=10 * MINUTE)
    assert plan.preflight == Preflight(5 * MINUTE, "10.0.0.9:8001", evaluation)
    ready, quota = Hook("https://ops.example/ready", MINUTE / 12), Hook("https://ops.example/quota")
    assert plan.stages == (
        Stage(
            "a",
            1,
            passes=4,
            hold_limit=60 * MINUTE,
            after_hold=AfterHold.CONTINUE,
            before=(ready, quota),
            after=(Hook("https://ops.example/cost"),),
        ),
        Stage("b", 500_000, replicas=True),
    )
    assert plan.rollback == Rollback(RollbackMode.STEPWISE, MINUTE / 2, timedelta(days=1), 1)
    assert plan.lease == Lease(20 * MINUTE, AfterLease.CONTROL)
    assert (plan.watch, plan.deadline) == (120 * MINUTE, timedelta(weeks=2))
    assert plan.interval == timedelta(seconds=30)
    assert (plan.description, plan.labels) == ("what for", (("team", "platform"),))
    working = ChangeWindow((Weekday.MON, Weekday.TUE), time(9), time(17, 30), "Europe/Berlin")
    assert plan.change_windows == (working, ChangeWindow((Weekday.FRI,), time(8), time()))
    assert plan.notifications == (
        Notification(
            "https://hooks.example/T1", NotificationFormat.SLACK, ("roll back", "promote")
        ),
        Notification("http://localhost:9000/events", actions=("hold",)),
        Notification("https://ops.example/all"),
    )


def test_an_evaluation_may_be_asked_for_at_a_url() -> None:
    preflight = "preflight: {evaluation: {url: http://evals/v2, metrics: {accuracy: {min: 0.9}}}}\n"
    plan = parse_experiment_file("e.yaml", NAMES + GUARDRAILS + STAGES + preflight).plan
    assert plan.preflight == Preflight(
        evaluation=Evaluation((Threshold("accuracy", 0.9, floor=True),), url="http://evals/v2")
    )


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_needs_only_names_and_metrics(template: str) -> None:
    text = f"{NAMES}template: {template}\ngoal: {{metric: rating}}\n"
    plan = parse_experiment_file("e.yaml", text).plan
    assert plan.stages == TEMPLATES[template].stages
    assert plan.watch == TEMPLATES[template].watch
    assert plan.goal == Goal(MetricName("rating"), TEMPLATES[template].min_effect)
    own = parse_experiment_file("e.yaml", text + STAGES + "watch: 5m\n").plan
    assert (own.stages, own.watch) == ((Stage("all", 500_000),), 5 * MINUTE)


def errors(text: str) -> list[str]:
    with pytest.raises(DocumentError) as raised:
        parse_experiment_file("e.yaml", text)
    return str(raised.value).splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            NAMES + GUARDRAILS + "stages: [{name: a, share: 5%, bakes: 30m}]",
            "e.yaml:6:31: stages[0].bakes: the field 'bakes' is not known; did you mean 'bake'?",
        ),
        (
            NAMES + STAGES + "guardrials: []\n" + GUARDRAILS,
            (
                "e.yaml:6:1: guardrials: the field 'guardrials' is not known; "
                "did you mean 'guardrails'?"
            ),
        ),
        (
            NAMES + GUARDRAILS,
            "e.yaml:1:1: stages: is missing: add stages, or a template (gradual, ab, production)",
        ),
        (
            NAMES + GUARDRAILS + "template: canary",
            "e.yaml:6:11: template: must be 'gradual', 'ab' or 'production', not the text 'canary'",
        ),
        (
            NAMES + STAGES,
            "e.yaml:1:1: guardrails: there is neither a goal nor a guardrail: add one",
        ),
        (
            NAMES + GUARDRAILS + "stages: [{name: a, share: 5%, bake: 30}]",
            "e.yaml:6:37: stages[0].bake: must be a duration such as 30m, not the number 30",
        ),
        (
            NAMES + STAGES + "guardrails: [{metric: error, max: 5%, margin: 1%}]",
            (
                "e.yaml:6:14: guardrails[0]: names max and margin: "
                "give one of max, min (a ceiling) and margin"
            ),
        ),
        (
            NAMES + STAGES + "guardrails: [{metric: error, margin: 5%, window: 2m}]",
            "e.yaml:6:14: guardrails[0]: has both margin and window: window goes with another kind",
        ),
        (
            NAMES + STAGES + "guardrails: [{metric: error, max: 5 percent}]",
            (
                "e.yaml:6:35: guardrails[0].max: must be a number such as 0.05 or 5%, "
                "not the text '5 percent'"
            ),
        ),
        (
            NAMES + STAGES + "guardrails: [{metric: error, max: 5%, looks: 2/3}]",
            "e.yaml:6:46: guardrails[0].looks: must be such as 2 of 3, not the text '2/3'",
        ),
        (
            NAMES + GUARDRAILS + "stages: [{name: a}]",
            (
                "e.yaml:6:10: stages[0]: names neither share nor ratio: "
                "give the share of units, or the ratio of replicas that it follows"
            ),
        ),
        (
            NAMES + GUARDRAILS + "stages: [{name: a, share: 5%, ratio: 5%}]",
            (
                "e.yaml:6:10: stages[0]: names both share and ratio: "
                "give the share of units, or the ratio of replicas that it follows"
            ),
        ),
        (
            NAMES + GUARDRAILS + "stages: [{name: a, ratio: 50%}, {name: b, ratio: 25%}]",
            (
                "e.yaml:6:50: stages[1].ratio: is 25 %: shares rise from stage to stage; "
                "give more than 50 %, and at most 100 %"
            ),
        ),
        (
            NAMES
            + GUARDRAILS
            + "stages: [{name: a, share: 5%, before: [{url: http://x, timout: 5s}]}]",
            (
                "e.yaml:6:56: stages[0].before[0].timout: the field 'timout' is not known; "
                "did you mean 'timeout'?"
            ),
        ),
        (
            NAMES
            + GUARDRAILS
            + STAGES
            + "change_windows: [{days: [monday], from: 0:00, to: 9:00}]",
            (
                "e.yaml:7:26: change_windows[0].days[0]: the day 'monday' is not known; "
                "did you mean 'mon'?"
            ),
        ),
        (
            NAMES + GUARDRAILS + STAGES + "change_windows: [{days: [sun], from: 9, to: 17:00}]",
            (
                "e.yaml:7:38: change_windows[0].from: must be a time of the day such as 09:00, "
                "not the number 9"
            ),
        ),
        (
            NAMES + GUARDRAILS + STAGES + "change_windows: [{days: [sun], from: 24:00, to: 24:00}]",
            (
                "e.yaml:7:38: change_windows[0].from: must be a time of the day such as 09:00, "
                "not the text '24:00'"
            ),
        ),
        (
            NAMES + GUARDRAILS + STAGES + "notifications: [{url: http://x, format: teams}]",
            "e.yaml:7:41: notifications[0].format: must be 'json' or 'slack', not the text 'teams'",
        ),
        (
            NAMES
            + GUARDRAILS
            + STAGES
            + "preflight: {evaluation: {url: http://x, metrics: {a: {}}}}",
            "e.yaml:7:54: preflight.evaluation.metrics.a: names no limit: give min, max or both",
        ),
        (
            NAMES + GUARDRAILS + STAGES + "preflight: {evaluation: {url: http://x}}",
            "e.yaml:7:25: preflight.evaluation.metrics: is missing: add it",
        ),
        (
            NAMES + GUARDRAILS + "stages: [{name: a, share: 5%, approval: yes}]",
            "e.yaml:6:41: stages[0].approval: must be required or none, not the text 'yes'",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_the_fix(text: str, message: str) -> None:
    assert errors(text) == [message]


def test_every_problem_is_named_at_once() -> None:
    """What can't be read in one section does not hide what makes no sense in another."""
    found = errors(
        """\
experiment: Chat v2
flag: f
control: v1
treatment: v1
goal: {metric: rating, min_effect: much}
guardrails:
  - {metric: error, margin: 5%, tolerance: 1%}
  - {metric: error, margin: 6%}
stages:
  - {name: a, share: 50%, then: continue}
  - {name: a, share: 25%, decide: true, passes: 0}
deadline: 0s
interval: 0s
"""
    )
    assert [line.split(": ")[1] for line in found] == [
        "experiment",
        "treatment",
        "goal.min_effect",
        "guardrails[0].tolerance",
        "guardrails[1]",
        "stages[0].hold_limit",
        "stages[1].name",
        "stages[1].share",
        "stages[1].passes",
        "deadline",
        "interval",
    ]


def test_what_makes_no_sense_is_named_where_the_file_has_it() -> None:
    found = errors(
        NAMES
        + GUARDRAILS
        + """\
preflight:
  health: nowhere
  evaluation:
    url: ftp://evals
    metrics: {accuracy: {min: 90%}}
stages:
  - {name: a, ratio: 0%, before: ftp://a, after: [ftp://b, {url: ftp://c, timeout: 0s}]}
change_windows:
  - {days: [], from: 17:00, to: 9:00, zone: Berlin}
notifications:
  - {url: x, on: [rollback]}
"""
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["e.yaml:7:11", "preflight.health"],
        ["e.yaml:9:10", "preflight.evaluation.url"],
        ["e.yaml:12:22", "stages[0].ratio"],
        ["e.yaml:12:34", "stages[0].before"],
        ["e.yaml:12:51", "stages[0].after[0]"],
        ["e.yaml:12:66", "stages[0].after[1].url"],
        ["e.yaml:12:84", "stages[0].after[1].timeout"],
        ["e.yaml:14:12", "change_windows[0].days"],
        ["e.yaml:14:33", "change_windows[0].to"],
        ["e.yaml:14:45", "change_windows[0].zone"],
        ["e.yaml:16:11", "notifications[0].url"],
        ["e.yaml:16:19", "notifications[0].on[0]"],
    ]
    assert "did you mean 'roll back'?" in found[-1]
    infinite = NAMES + GUARDRAILS + STAGES + "preflight: {evaluation: {metrics: {}}}"
    assert [line.split(": ")[:2] for line in errors(infinite)] == [
        ["e.yaml:7:25", "preflight.evaluation"],
        ["e.yaml:7:35", "preflight.evaluation.metrics"],
    ]


def test_what_is_read_has_no_problems() -> None:
    plan = parse_experiment_file("chat-v2.yaml", CHAT_V2).plan
    assert problems(plan) == ()


def documented() -> str:
    text = (Path(__file__).parents[3] / "docs" / "experiments.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return str(block)


def test_the_documented_file_is_read() -> None:
    plan = parse_experiment_file("experiments.md", documented()).plan
    assert [stage.name for stage in plan.stages] == ["canary", "test", "expand", "full"]


def test_the_example_is_read() -> None:
    plan = read_experiment_file(Path(__file__).parents[3] / "examples" / "chat-v2.yaml").plan
    assert plan.stages == TEMPLATES["production"].stages


@pytest.mark.parametrize(
    "document",
    [
        ExperimentDocument,
        GoalDocument,
        GuardrailDocument,
        QualityDocument,
        PreflightDocument,
        StageDocument,
        RollbackDocument,
        LeaseDocument,
        EvaluationDocument,
        ThresholdDocument,
        HookDocument,
        ChangeWindowDocument,
        NotificationDocument,
    ],
)
def test_every_field_is_documented(document: type[Document]) -> None:
    shown = set(re.findall(r"([a-z_]+):", documented()))
    names = {field.alias or name for name, field in document.model_fields.items()}
    assert names - shown == set()
