"""What an experiment's page shows."""

from dataclasses import replace

from tests.server.dashboard.tables import UTC_ZONE, column, every_cell_is_json, stored, texts
from tests.server.domain.experiments.samples import MINUTE, NOW, PLAN
from tests.server.domain.experiments.world import World
from tidegate.v1 import flag_pb2
from tidegate_server.analysis.decision import Verdict
from tidegate_server.dashboard.views import experiment
from tidegate_server.domain.experiments.plan import Goal, MetricName, Notification
from tidegate_server.domain.experiments.records import Experiment, Measured, NumberedDecision, Seen
from tidegate_server.domain.experiments.requests import Request
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.experiment_text import Tone


def world(*steps: tuple[Verdict | Request, int]) -> World:
    """Take an experiment through looks (each so many minutes after the last) and requests."""
    made = World(replace(PLAN, preflight=None, interval=MINUTE))
    made.ask(Request.START)
    for step, minutes in steps:
        if isinstance(step, Request):
            made.ask(step)
        else:
            made.tick(step, minutes * MINUTE)
    return made


def stored_experiment(made: World) -> Experiment:
    return Experiment(made.plan, made.state, 9, NOW, NOW)


def looks_of(made: World) -> list[Seen]:
    """Return looks whose figures are those of the last decision."""
    measured = tuple(m for each in made.decisions[-1:] for m in each.measured)
    return [Seen(made.now, "canary", 5, Verdict.PASS, ("a reason",), 512.0, 0.5, 0.4, measured)]


def places(made: World) -> list[tuple[str, str]]:
    return [(each.name, each.place) for each in experiment.stages(stored_experiment(made))]


def test_the_bar_shows_what_is_done_and_what_lies_ahead() -> None:
    begun = world()
    assert places(begun) == [
        ("canary", "now"),
        ("test", "ahead"),
        ("expand", "ahead"),
        ("full", "ahead"),
        ("watch", "ahead"),
    ]
    on = world((Verdict.PASS, 1), *[(Verdict.PASS, 1)] * 40)
    assert places(on)[:2] == [("canary", "done"), ("test", "now")]
    paused = world((Verdict.PASS, 1), (Request.PAUSE, 0))
    assert places(paused)[0] == ("canary", "now")
    assert experiment.stages(stored_experiment(paused))[0].said.text == "5 %, paused"


def test_the_bar_begins_with_the_preflight() -> None:
    draft = Experiment(PLAN, State(), 1, NOW, NOW)
    assert {each.place for each in experiment.stages(draft)} == {"ahead"}
    running = Experiment(PLAN, State(Status.PREFLIGHT), 1, NOW, NOW)
    assert [each.place for each in experiment.stages(running)][:2] == ["now", "ahead"]
    done = Experiment(PLAN, State(Status.SUCCEEDED, stage=3), 1, NOW, NOW)
    assert {each.place for each in experiment.stages(done)} == {"done"}
    watching = Experiment(PLAN, State(Status.WATCHING, stage=3), 1, NOW, NOW)
    assert [each.place for each in experiment.stages(watching)][-2:] == ["done", "now"]


def test_a_rollback_and_its_reason_are_shown() -> None:
    made = world((Verdict.PASS, 1), (Verdict.BREACH, 1), (Verdict.PASS, 1))
    found = stored_experiment(made)
    assert found.state.status is Status.ROLLED_BACK
    here = [each for each in experiment.stages(found) if each.place == "now"]
    assert [each.said.tone for each in here] == [Tone.BAD]
    numbered = [NumberedDecision(n, each, n) for n, each in enumerate(made.decisions, 1)]
    table = experiment.decisions_table(numbered, UTC_ZONE)
    every_cell_is_json(table)
    assert column(table, "no.") == [str(n) for n in range(len(numbered), 0, -1)]
    assert "roll back" in column(table, "decision")
    why = column(table, "why")[column(table, "decision").index("roll back")]
    assert "latency_ms is worse by at least 15.0%" in why
    assert "5 % → 0 %" in column(table, "share")
    figures = table.rows[column(table, "decision").index("roll back")].more
    assert figures is not None
    assert [
        "guardrail latency_ms",
        "+15.0% (+15.0% … +20.0%)",
        "margin 10.0%, harm beyond 10.0% rolls back",
    ] in texts(figures)
    attempts = experiment.attempts_table(found.state, UTC_ZONE)
    assert "latency_ms is worse" in column(attempts, "why")[0]


def test_reasons_are_those_of_the_last_look() -> None:
    made = world((Verdict.PASS, 1))
    found = stored_experiment(made)
    assert experiment.reasons(found, looks_of(made)) == ["a reason"]
    assert experiment.reasons(found, []) == []
    over = replace(found, state=State(Status.SUCCEEDED))
    assert experiment.reasons(over, looks_of(made)) == []


def test_what_is_judged_has_limits_on_the_right_side() -> None:
    plan = replace(PLAN, goal=Goal(MetricName("rating"), 0.05, tolerance=0.1))
    by_metric = {each.asked.metric: each for each in experiment.judged(plan, None)}
    assert [(each.name, each.value) for each in by_metric["rating"].limits] == [
        ("wanted", 0.05),
        ("rolls back", -0.1),
    ]
    assert by_metric["rating"].label == "goal rating: wanted 5.0%, harm beyond 10.0% rolls back"
    assert [(each.name, each.value) for each in by_metric["latency_ms"].limits] == [
        ("margin", 0.1),
        ("rolls back", 0.1),
    ]
    assert [each.value for each in by_metric["error"].limits] == [0.05]
    lower = stored()
    lower.metrics.add(outcome="rating", direction=flag_pb2.DIRECTION_LOWER_IS_BETTER)
    turned = next(each for each in experiment.judged(plan, lower) if each.asked.metric == "rating")
    assert [each.value for each in turned.limits] == [-0.05, 0.1]


def seen(*measured: Measured, after: int = 0, least_p: float = 0.3) -> Seen:
    time = NOW + after * MINUTE
    return Seen(time, "canary", 50_000, Verdict.PASS, (), None, None, least_p, measured)


def test_evidence_is_told_and_drawn() -> None:
    rating, latency, error = experiment.judged(PLAN, None)
    looks = [
        seen(Measured("rating", "goal", None, None, None, 0.05)),
        seen(
            Measured("rating", "goal", 0.02, -0.01, 0.05, 0.05),
            Measured("error", "ceiling", 0.012, None, None, 0.05),
            after=1,
        ),
    ]
    assert experiment.evidence_words(rating, looks) == "Now: +2.0% (-1.0% … +5.0%)"
    assert experiment.evidence_words(error, looks) == "Now: 1.20%"
    assert experiment.evidence_words(latency, looks) == "Now: not estimable yet"
    assert experiment.evidence_words(rating, looks[:1]) == "Now: not estimable yet"
    assert experiment.evidence_words(rating, []) == "Now: not estimable yet"
    drawn = experiment.evidence_chart(rating, looks, UTC_ZONE)
    assert [value for _, value in drawn["series"][-1]["data"]] == [None, 2.0]
    plain = experiment.evidence_chart(error, looks, UTC_ZONE)
    assert [value for _, value in plain["series"][-1]["data"]] == [None, 1.2]


def test_two_ceilings_on_one_metric_are_told_apart() -> None:
    ceilings = [each for each in PLAN.guardrails if each in PLAN.ceilings]
    strict = replace(ceilings[0], limit=0.01)
    plan = replace(PLAN, guardrails=(*PLAN.guardrails, strict))
    judged = [each for each in experiment.judged(plan, None) if each.asked.role == "ceiling"]
    look_ = seen(
        Measured("error", "ceiling", 0.5, None, None, 0.05),
        Measured("error", "ceiling", 0.7, None, None, 0.01),
    )
    assert [experiment.evidence_words(each, [look_]) for each in judged] == [
        "Now: 50.00%",
        "Now: 70.00%",
    ]


def test_the_sample_ratio_is_drawn_over_looks() -> None:
    looks = [seen(least_p=0.5), seen(least_p=0.0001, after=1)]
    drawn = experiment.ratio_chart(looks, UTC_ZONE)
    assert [value for _, value in drawn["series"][0]["data"]] == [0.5, 0.0001]
    found = Experiment(PLAN, State(Status.HELD, least_p=0.0001), 3, NOW, NOW)
    assert experiment.ratio_said(found, looks).tone is Tone.BAD
    assert experiment.ratio_said(found, []).tone is Tone.MUTED


def test_the_plan_tells_where_but_not_with_which_secret() -> None:
    url = "https://hooks.example/T0/secret"
    plan = replace(
        PLAN, notifications=(Notification(url), Notification(url)), labels=(("team", "a"),)
    )
    facts = dict(experiment.plan_facts(plan, NOW, UTC_ZONE))
    assert facts["told to"] == "hooks.example"
    assert facts["deadline"] == "7d after the start"
    assert facts["team"] == "a"
    assert "secret" not in str(facts)


def test_changes_of_the_share_are_marked() -> None:
    made = world((Verdict.PASS, 1))
    numbered = [NumberedDecision(n, each, n % 2) for n, each in enumerate(made.decisions, 1)]
    assert len(experiment.split_marks(numbered)) == sum(each.revision for each in numbered)
