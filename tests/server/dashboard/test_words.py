"""States, verdicts and times in words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.server.domain.experiments.samples import NOW, PERCENT, PLAN
from tidegate.v1 import flag_pb2
from tidegate_server.analysis.decision import Verdict
from tidegate_server.dashboard.feeds import Freshness
from tidegate_server.dashboard.words import (
    Zone,
    changed_at,
    flag_words,
    freshness_words,
    headline,
    health_words,
    ratio_words,
    split_words,
    stage_words,
)
from tidegate_server.domain.experiments.records import Experiment, Measured
from tidegate_server.domain.experiments.state import ENDED, State, Status
from tidegate_server.experiment_text import (
    CEILING,
    Said,
    Tone,
    figure_words,
    limit_words,
    status_words,
    verdict_words,
    waits_for,
)

UTC_ZONE, BERLIN = Zone.named("UTC"), Zone.named("Europe/Berlin")


def experiment(status: Status, **fields: Any) -> Experiment:
    state = replace(State(status, stage=1, share_ppm=25 * PERCENT), **fields)
    return Experiment(PLAN, state, 3, NOW, NOW)


@pytest.mark.parametrize("status", Status)
def test_every_status_has_words(status: Status) -> None:
    words = headline(experiment(status))
    assert words.endswith(".")
    assert status is Status.DRAFT or words.startswith(status_words(status).text.capitalize())
    assert status is Status.DRAFT or "25 %" in words
    assert stage_words(PLAN, experiment(status).state)


@pytest.mark.parametrize("verdict", [None, *Verdict])
@pytest.mark.parametrize("status", Status)
def test_every_verdict_has_words_and_a_health(verdict: Verdict | None, status: Status) -> None:
    assert verdict_words(verdict).text
    health = health_words(experiment(status, verdict=verdict).state)
    if verdict is None or status in ENDED:
        assert health.text == "–"
    elif verdict in (Verdict.PASS, Verdict.WIN, Verdict.INSUFFICIENT, Verdict.FLAT, Verdict.LOSE):
        assert health == Said("healthy", Tone.GOOD)
    else:
        assert health.tone in (Tone.BAD, Tone.WARN)


def test_words_differ_where_states_do() -> None:
    assert len({status_words(status).text for status in Status}) == len(Status)
    assert len({verdict_words(verdict).text for verdict in Verdict}) == len(Verdict)


def test_a_stage_says_how_many_units_it_needs() -> None:
    early = experiment(Status.OBSERVING, stage=0).state
    assert waits_for(PLAN, early)[1] == Said("300 units in the smaller arm")
    seen = replace(early, streak=1)
    assert waits_for(PLAN, seen)[1] == Said("300 units in the smaller arm", Tone.GOOD)


def test_rates_have_one_unit_everywhere() -> None:
    errors = Measured("error", CEILING, 0.01773, None, None, 0.3)
    assert (figure_words(errors), limit_words(errors)) == ("1.77%", "limit 30%")
    latency = Measured("latency_ms.p99", CEILING, 120.0, None, None, 250.0)
    assert (figure_words(latency), limit_words(latency)) == ("120", "limit 250")


def test_a_sample_ratio_is_judged() -> None:
    assert ratio_words(None).tone is Tone.MUTED
    assert ratio_words(0.5) == Said("units are split as promised (p 0.5)", Tone.GOOD)
    assert ratio_words(0.0009).tone is Tone.BAD


def test_times_name_their_zone() -> None:
    summer = datetime(2026, 7, 1, 12, 5, 9, 999, tzinfo=UTC)
    assert UTC_ZONE.stamp(summer) == "1 Jul 12:05:09 UTC"
    assert BERLIN.stamp(summer) == "1 Jul 14:05:09 CEST"
    assert BERLIN.stamp(datetime(2026, 12, 31, 23, 30, tzinfo=UTC)) == "1 Jan 00:30:00 CET"
    assert UTC_ZONE.stamp(None) == "–"
    assert (UTC_ZONE.is_utc, BERLIN.is_utc) == (True, False)


@pytest.mark.parametrize("name", ["", "UTC", "Nowhere/At_All", "../../etc/passwd", "/etc", "\0"])
def test_a_zone_that_is_none_is_utc(name: str) -> None:
    assert Zone.named(name).is_utc


def test_a_stale_feed_says_so() -> None:
    heard = datetime(2026, 7, 1, 12, tzinfo=UTC)
    live = Freshness(heard)
    assert freshness_words([live, live], UTC_ZONE) == Said("live", Tone.GOOD)
    assert freshness_words([live, Freshness(None)], UTC_ZONE).text == "connecting …"
    older = Freshness(heard - timedelta(minutes=1), "the server does not answer")
    said = freshness_words([live, Freshness(heard, "slow"), older], UTC_ZONE)
    assert said == Said("stale since 1 Jul 11:59:00 UTC: the server does not answer", Tone.BAD)
    assert freshness_words([Freshness(None, "nobody")], UTC_ZONE).text == "no data: nobody"


def test_flags_and_splits_are_written() -> None:
    flag = flag_pb2.Flag(
        split=[
            flag_pb2.SplitShare(variant="a", share_ppm=995_000),
            flag_pb2.SplitShare(variant="b", share_ppm=5_000),
        ]
    )
    assert split_words(list(flag.split)) == "a 99.5 %, b 0.5 %"
    assert flag_words(flag).text == "on"
    assert changed_at(flag) is None
    flag.killed = True
    flag.update_time.FromDatetime(NOW)
    assert flag_words(flag) == Said("killed", Tone.BAD)
    assert changed_at(flag) == NOW
