"""The demo's application, on the SDK's own assignments but without a server."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, cast

import numpy as np
import pytest

import tidegate
from examples.model_rollout.app import FLAG, Application
from examples.model_rollout.ledger import Ledger
from examples.model_rollout.models import Images, UnreadableImageError
from examples.model_rollout.traffic import Request
from tidegate import event_batch
from tidegate.assignment import Grant
from tidegate.evaluation import Given
from tidegate.model import FlagKey, Phase, Reason, Revision, VariantKey
from tidegate.recorder import Recorder

STATS = tidegate.Stats(queued=0, acknowledged=7, dropped=1, refused=2)


class StubClient:
    """Gives what the test says; `events` has what was reported, as (variant, outcome, value)."""

    def __init__(self, variant: str = "v2", phase: int = 3) -> None:
        self.variant = variant
        self.phase = phase
        self.revision = 4
        self.events: list[tuple[str, str, float]] = []
        self._recorder = Recorder(self._add)

    def assign(
        self, flag: str, unit_id: str, attributes: Mapping[str, Any], *, default: Any
    ) -> tidegate.Assignment:
        assert flag == FLAG
        assert set(attributes) == {"country"}
        value = {"model": f"model of {self.variant}"} if self.variant else default
        reason = Reason.SPLIT if self.variant else Reason.FLAG_NOT_FOUND
        assignment = tidegate.Assignment()
        given = Given(FlagKey(flag), VariantKey(self.variant), value, reason, "", Phase(self.phase))
        assignment.grant = Grant(given, Revision(self.revision), self._recorder, set())
        assignment.unit_id = unit_id
        return assignment

    def _add(self, event: event_batch.Event) -> bool:
        given, outcome, _, _, value = event
        self.events.append((given.variant, outcome, value))
        return True


class StubModel:
    """Answers 5, unless the image is damaged."""

    def read(self, image: Images) -> int:
        if np.isnan(image).any():
            raise UnreadableImageError
        return 5


MODELS = {name: StubModel() for name in ("model of v1", "model of v2", "logistic-regression")}
REQUEST = Request("user-1", country="DE", image=np.zeros(64), digit=5, mood=0.0)
DAMAGED = replace(REQUEST, image=np.full(64, np.nan))


def application(client: StubClient, ledger: Ledger) -> Application:
    return Application(cast("tidegate.Client", client), MODELS, ledger)


def written(ledger: Ledger, folder: Path) -> dict[str, Any]:
    ledger.write(folder / "ledger.json", STATS, flushed=True)
    content: dict[str, Any] = json.loads((folder / "ledger.json").read_text())
    return content


def test_an_answer_is_measured_and_rated() -> None:
    client = StubClient()
    assert application(client, Ledger()).serve(REQUEST) == 5
    outcomes = {outcome: value for _, outcome, value in client.events}
    assert outcomes.keys() == {"latency_ms", "error", "rating"}
    assert (outcomes["error"], outcomes["rating"]) == (0, 4)
    assert outcomes["latency_ms"] > 0


def test_a_wrong_answer_is_rated_lower() -> None:
    client = StubClient()
    application(client, Ledger()).serve(replace(REQUEST, digit=6))
    assert ("v2", "rating", 2.0) in client.events


def test_a_damaged_image_is_an_error_without_a_rating() -> None:
    client = StubClient()
    assert application(client, Ledger()).serve(DAMAGED) is None
    outcomes = {outcome: value for _, outcome, value in client.events}
    assert outcomes.keys() == {"latency_ms", "error"}
    assert outcomes["error"] == 1


def test_another_failure_of_a_model_is_not_hidden() -> None:
    class Broken(StubModel):
        def read(self, image: Images) -> int:
            raise MemoryError

    client = StubClient()
    broken = Application(cast("tidegate.Client", client), {"model of v2": Broken()}, Ledger())
    with pytest.raises(MemoryError):
        broken.serve(REQUEST)


def test_the_ledger_counts_exactly_what_was_reported(tmp_path: Path) -> None:
    client, ledger = StubClient("v1"), Ledger()
    app = application(client, ledger)
    for request in (REQUEST, DAMAGED, replace(REQUEST, user_id="user-2")):
        app.serve(request)
    client.variant, client.phase, client.revision = "v2", 5, 6
    app.serve(REQUEST)
    app.serve(REQUEST)
    content = written(ledger, tmp_path)
    reported = Counter((variant, outcome) for variant, outcome, _ in client.events)
    assert [[*key, count] for key, count in sorted(reported.items())] == content["reported"]
    assert content["requests"] == [[3, "v1", 3], [5, "v2", 2]]
    assert content["exposures"] == {"v1": 2, "v2": 1}
    assert content["units"] == {"user-1": [[4, "v1"], [6, "v2"]], "user-2": [[4, "v1"]]}
    assert (content["acknowledged"], content["dropped"], content["refused"]) == (7, 1, 2)
    assert content["flushed"] is True


def test_two_variants_at_one_revision_stay_visible(tmp_path: Path) -> None:
    client, ledger = StubClient("v1"), Ledger()
    app = application(client, ledger)
    app.serve(REQUEST)
    client.variant = "v2"
    app.serve(REQUEST)
    assert written(ledger, tmp_path)["units"] == {"user-1": [[4, "v1"], [4, "v2"]]}


def test_without_a_flag_users_are_served_and_nothing_is_reported(tmp_path: Path) -> None:
    client, ledger = StubClient(variant="", phase=0), Ledger()
    assert application(client, ledger).serve(REQUEST) == 5
    assert client.events == []
    assert written(ledger, tmp_path)["requests"] == []


def test_serving_ends_when_it_is_told_to() -> None:
    client, stop = StubClient(), Event()

    def traffic() -> Any:
        for number in range(100):
            if number == 3:
                stop.set()
            yield REQUEST

    application(client, Ledger()).serve_all(traffic(), rate=1e6, stop=stop)
    assert Counter(outcome for _, outcome, _ in client.events)["error"] == 3


def test_serving_keeps_to_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr("examples.model_rollout.app.time", clock)
    client = StubClient()
    requests = islice(iter(lambda: REQUEST, None), 101)
    application(client, Ledger()).serve_all(requests, rate=50, stop=cast("Event", clock))
    assert clock.now == pytest.approx(101 / 50)


class FakeClock:
    """A clock that waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False
