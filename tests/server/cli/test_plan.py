"""`tidegate plan`: no server takes part in it."""

import math

import pytest

from tests.server.cli.conftest import Cli
from tidegate_server.analysis.looks import Analysis
from tidegate_server.analysis.planning import Design, relative_metric, units_needed
from tidegate_server.cli.plan_metric import parse_goal, parse_guardrail, parse_number
from tidegate_server.errors import InvalidField

GOAL = "rating:mean=3.9,deviation=1.2,effect=5%"
ERROR = "error:mean=2%,margin=10%"


def test_the_guardrail_that_sets_the_size_is_named(cli: Cli) -> None:
    code, out, err = cli(
        *("plan", "--goal", GOAL, "--guardrail", ERROR, "--analysis", "fixed"),
        *("--units-per-day", "5000", "--share", "10%"),
    )
    assert (code, err) == (0, "")
    design = Design(share=0.1, analysis=Analysis.FIXED)
    goal = units_needed(relative_metric("rating", 3.9, 1.2, 0.05), design)
    error = units_needed(relative_metric("error", 0.02, math.sqrt(0.02 * 0.98), 0.1), design)
    assert error > goal
    assert f"{error:,} units of both arms, {round(error / 10):,} of them treated" in out
    assert f": {math.ceil(error / 5_000)} days at 5,000 a day" in out
    assert f"warning: the guardrail error sets the size: {error:,} units" in out
    assert f"the goal needs {goal:,}" in out
    rows = [line.split("│")[1:-1] for line in out.splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in rows[0]] == [
        "error", "guardrail", "10.0%", f"{error:,}", "80%", "10.0%",
    ]  # fmt: skip


def test_a_goal_alone_needs_no_warning(cli: Cli) -> None:
    code, out, _ = cli("plan", "--goal", GOAL)
    assert code == 0
    assert "warning" not in out
    assert "always-valid, one-sided 0.05, power 80%, 0.5 treated" in out


def test_many_metrics_at_once_are_rarely_all_shown(cli: Cli) -> None:
    others = [("--guardrail", ERROR.replace("error", f"error.{i}")) for i in range(4)]
    words = [word for each in others for word in each]
    code, out, _ = cli("plan", *words, "--analysis", "group-sequential", "--looks", "3")
    assert code == 0
    assert "group-sequential, 3 looks" in out
    assert "all metrics together are shown with a chance of 20% or more" in out


def test_clustered_events_need_more_units() -> None:
    alone = parse_goal(GOAL, 1, 0.0).metric
    many = parse_goal(GOAL, 20, 0.3).metric
    own = parse_goal(f"{GOAL},events=20,icc=30%,variation=1", 1, 0.0).metric
    assert many.deviation == pytest.approx(alone.deviation * math.sqrt((1 + 19 * 0.3) / 20))
    assert own.deviation == pytest.approx(alone.deviation * math.sqrt((1 + 39 * 0.3) / 20))


def test_directions_follow_from_what_is_known_or_said() -> None:
    faster = parse_goal("latency_ms.p99:mean=900,deviation=500,effect=10%", 1, 0)
    assert faster.metric.distance == pytest.approx(-math.log(0.9))
    assert faster.relative(faster.metric.distance) == pytest.approx(0.1)
    slower = parse_guardrail("latency_ms:mean=900,deviation=500,margin=10%", 1, 0)
    assert slower.metric.distance == pytest.approx(math.log(1.1))
    tokens = parse_guardrail("tokens:mean=900,deviation=500,margin=10%,better=higher", 1, 0)
    assert tokens.metric.distance == pytest.approx(-math.log(0.9))
    beyond = parse_goal(f"{GOAL},min_effect=2%", 1, 0)
    assert beyond.metric.distance == pytest.approx(math.log(1.05 / 1.02))
    assert beyond.relative(beyond.metric.distance) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rating", "--goal: 'rating': write NAME:mean=3.9"),
        ("rating:mean=3.9,deviation=1.2", "rating.effect: is needed: add effect="),
        ("rating:deviation=1.2,effect=5%", "rating.mean: is needed"),
        ("rating:mean=3.9,effect=5%", "rating.deviation: is needed; it may be left out"),
        ("rating:mean=3.9,deviation=1.2,efect=5%", "did you mean 'effect'"),
        (f"{GOAL},margin=5%", "rating.margin: 'margin' is not known"),
        (f"{GOAL},effect=6%", "rating.effect: must be given once"),
        (f"{GOAL},icc", "rating.icc: must be given once, as FIELD=VALUE"),
        (f"{GOAL},icc=2", "rating: icc: must be in"),
        (f"{GOAL},min_effect=5%", "rating.effect: must be more than min_effect"),
        ("rating:mean=x,deviation=1,effect=5%", "rating.mean: 'x' is not a number"),
        ("rating:mean=0,deviation=1,effect=5%", "rating: the mean must be"),
        ("latency_ms:mean=9,deviation=1,effect=100%", "latency_ms: a change must be above"),
        ("tokens:mean=9,deviation=1,effect=5%", "tokens.better: is needed"),
        (f"{GOAL},better=up", "rating.better: is needed: add better=higher or better=lower"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_goal(text, 1, 0.0)
    assert message in str(caught.value)


def test_a_margin_is_more_than_nothing() -> None:
    with pytest.raises(InvalidField, match=r"error\.margin: must be more than 0"):
        parse_guardrail("error:mean=2%,margin=0%", 1, 0.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--goal: name a goal or a guardrail"),
        (("--goal", GOAL, "--guardrail", "rating:mean=4,deviation=1,margin=5%"), "named once"),
        (("--goal", GOAL, "--share", "100%"), "--share: must be in (0, 1)"),
        (("--goal", GOAL, "--alpha", "80%"), "--alpha: must be in (0, 0.5)"),
        (("--goal", GOAL, "--power", "often"), "--power: 'often' is not a number"),
        (("--goal", GOAL, "--units-per-day", "0"), "--units-per-day: must be more than 0"),
    ],
)
def test_options_out_of_range_are_named(cli: Cli, words: tuple[str, ...], message: str) -> None:
    code, out, err = cli("plan", *words)
    assert (code, out) == (1, "")
    assert message in err


def test_numbers() -> None:
    assert [parse_number("x", each) for each in ("5%", " 0.05 ", ".5 %", "3.")] == [
        0.05, 0.05, 0.005, 3.0,
    ]  # fmt: skip
    with pytest.raises(InvalidField, match="x: '1e3' is not a number"):
        parse_number("x", "1e3")
