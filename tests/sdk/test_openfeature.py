import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, ProviderFatalError, ProviderNotReadyError
from openfeature.flag_evaluation import Reason as Because
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import ProviderStatus
from openfeature.track import TrackingEventDetails

from tests.sdk.fake_server import fake_server, snapshot
from tests.sdk.flags import V1, V2, make_flag, make_snapshot
from tidegate import Client, State
from tidegate import openfeature as module
from tidegate.model import Clause, Operator, Override, Rule, Variant, VariantKey
from tidegate.openfeature import TidegateProvider
from tidegate.testing import TestClient

USER = EvaluationContext("user-1")
STAFF = Rule("staff", (Clause("team", Operator.IN, ("eval",)),), V2)


@pytest.fixture
def tidegate_client() -> TestClient:
    return TestClient(
        {
            "chat-model": ("v2", {"model": "llama-v2", "tags": ["new"]}),
            "button": ("on", {"value": True}),
            "colour": ("dark-blue", {"value": "#00008b"}),
            "theme": "dark",
            "limit": ("high", {"value": 100}),
            "temperature": ("warm", {"value": 0.7}),
            "odd": ("odd", {"value": None}),
        }
    )


@pytest.fixture
def flags(tidegate_client: TestClient) -> Iterator[OpenFeatureClient]:
    api.set_provider_and_wait(TidegateProvider(tidegate_client))
    yield api.get_client()
    api.shutdown()


def test_flags_of_all_types(flags: OpenFeatureClient) -> None:
    assert flags.get_boolean_value("button", False, USER) is True
    assert flags.get_string_value("colour", "x", USER) == "#00008b"
    assert flags.get_string_value("theme", "x", USER) == "dark"
    limit = flags.get_integer_value("limit", 0, USER)
    assert (limit, type(limit)) == (100, int)
    assert flags.get_float_value("temperature", 0.0, USER) == 0.7
    whole = flags.get_float_value("limit", 0.0, USER)
    assert (whole, type(whole)) == (100.0, float)
    assert flags.get_object_value("chat-model", {}, USER) == {"model": "llama-v2", "tags": ["new"]}
    assert flags.get_object_value("theme", {"a": 1}, USER) == {}


async def test_flags_can_be_asked_asynchronously(flags: OpenFeatureClient) -> None:
    assert await flags.get_boolean_value_async("button", False, USER) is True
    details = await flags.get_object_details_async("no-such-flag", {"a": 1}, USER)
    assert (details.value, details.error_code) == ({"a": 1}, ErrorCode.FLAG_NOT_FOUND)


def test_details_say_what_was_given_and_why(flags: OpenFeatureClient) -> None:
    details = flags.get_boolean_details("button", False, USER)
    assert (details.flag_key, details.variant, details.reason) == ("button", "on", Because.SPLIT)
    assert (details.error_code, details.error_message) == (None, None)
    metadata = details.flag_metadata
    assert metadata["flag"] == "button"
    assert metadata["reason"] == "SPLIT"
    assert type(metadata["phase"]) is int
    assert type(metadata["revision"]) is int
    assert metadata["version"] == str(metadata["revision"])
    assert "rule" not in metadata


@pytest.mark.parametrize(
    ("method", "flag", "default"),
    [
        ("get_boolean_details", "colour", False),
        ("get_boolean_details", "theme", True),
        ("get_boolean_details", "limit", False),
        ("get_string_details", "limit", "x"),
        ("get_string_details", "odd", "x"),
        ("get_integer_details", "temperature", 7),
        ("get_integer_details", "button", 7),
        ("get_integer_details", "colour", 7),
        ("get_integer_details", "theme", 7),
        ("get_float_details", "button", 7.5),
        ("get_float_details", "colour", 7.5),
    ],
)
def test_another_type_gives_the_default(
    flags: OpenFeatureClient, method: str, flag: str, default: Any
) -> None:
    details = getattr(flags, method)(flag, default, USER)
    assert (details.value, details.reason) == (default, Because.ERROR)
    assert details.error_code is ErrorCode.TYPE_MISMATCH
    assert flag in details.error_message
    assert "get_object_value" in details.error_message


def test_a_whole_number_written_with_a_fraction_is_an_integer() -> None:
    flag = make_flag(shares=(100,), variants=(Variant(V1, {"value": 3.0}),))
    provider = TidegateProvider(TestClient(snapshot=make_snapshot(flag)))
    value = provider.resolve_integer_details("chat-model", 0, USER).value
    assert (value, type(value)) == (3, int)


def test_an_unknown_flag_gives_the_default(flags: OpenFeatureClient) -> None:
    details = flags.get_string_details("no-such-flag", "mine", USER)
    assert (details.value, details.reason) == ("mine", Because.ERROR)
    assert details.error_code is ErrorCode.FLAG_NOT_FOUND
    assert "'no-such-flag'" in str(details.error_message)


@pytest.mark.parametrize("context", [None, EvaluationContext(), EvaluationContext("")])
def test_without_a_targeting_key_there_is_no_unit(
    flags: OpenFeatureClient, context: EvaluationContext | None
) -> None:
    details = flags.get_boolean_details("button", False, context)
    assert (details.value, details.error_code) == (False, ErrorCode.TARGETING_KEY_MISSING)


@pytest.mark.parametrize("key", ["x" * 1_001, 7])
def test_a_targeting_key_that_is_no_unit_is_named(flags: OpenFeatureClient, key: Any) -> None:
    details = flags.get_boolean_details("button", False, EvaluationContext(key))
    assert (details.value, details.error_code) == (False, ErrorCode.INVALID_CONTEXT)


def test_contexts_are_merged_and_reach_the_rules() -> None:
    client = TestClient(snapshot=make_snapshot(make_flag(shares=(100, 0), rules=(STAFF,))))
    api.set_provider_and_wait(TidegateProvider(client))
    try:
        flags = api.get_client()
        assert flags.get_string_value("chat-model", "", USER) == "v1"
        api.set_evaluation_context(EvaluationContext("user-0", {"team": "eval"}))
        assert flags.get_string_value("chat-model", "") == "v2"
        flags.context = EvaluationContext(attributes={"team": "sales"})
        assert flags.get_string_value("chat-model", "") == "v1"
        details = flags.get_string_details(
            "chat-model", "", EvaluationContext("user-1", {"team": "eval"})
        )
        assert (details.value, details.reason) == ("v2", Because.TARGETING_MATCH)
        assert details.flag_metadata["rule"] == "staff"
        assert {exposure.unit_id for exposure in client.exposures} == {"user-0", "user-1"}
    finally:
        api.shutdown()


@pytest.mark.parametrize(
    ("flag", "reason", "own"),
    [
        ({}, Because.SPLIT, "SPLIT"),
        ({"killed": True}, Because.DISABLED, "KILLED"),
        ({"overrides": (Override("user-1", V2),)}, Because.TARGETING_MATCH, "OVERRIDE"),
        ({"enrolment_ppm": 0}, Because.DEFAULT, "NOT_ENROLLED"),
    ],
)
def test_reasons(flag: dict[str, Any], reason: Because, own: str) -> None:
    client = TestClient(snapshot=make_snapshot(make_flag(**flag)))
    details = TidegateProvider(client).resolve_string_details("chat-model", "", USER)
    assert (details.reason, details.flag_metadata["reason"]) == (reason, own)
    client.close()
    stale = TidegateProvider(client).resolve_string_details("chat-model", "", USER)
    assert (stale.reason, stale.flag_metadata["reason"]) == (Because.STALE, own)


def test_a_session_can_be_pinned() -> None:
    client = TestClient(snapshot=make_snapshot(make_flag(shares=(100, 0))))
    provider = TidegateProvider(client, session_attribute="conversation")
    talk = EvaluationContext("user-1", {"conversation": "c1"})
    for shares, given in (((100, 0), "v1"), ((1, 99), "v1"), ((0, 100), "v2")):
        client.use(make_snapshot(make_flag(shares=shares, phase=1 + shares[1])))
        assert provider.resolve_string_details("chat-model", "", talk).value == given


def test_hooks_are_called(flags: OpenFeatureClient) -> None:
    called: list[str] = []

    class Recording(Hook):
        def after(self, hook_context: HookContext, details: Any, hints: HookHints) -> None:
            assert hook_context.provider_metadata
            called.append(f"{hook_context.provider_metadata.name} {details.variant}")

        def error(self, hook_context: HookContext, exception: Exception, hints: HookHints) -> None:
            called.append(type(exception).__name__)

    flags.add_hooks([Recording()])
    flags.get_boolean_value("button", False, USER)
    flags.get_boolean_value("no-such-flag", False, USER)
    assert called == ["tidegate on", "FlagNotFoundError"]


def test_track_reaches_every_flag_that_the_unit_was_given(
    flags: OpenFeatureClient, tidegate_client: TestClient
) -> None:
    flags.get_boolean_value("button", False, USER)
    flags.get_object_value("chat-model", {}, USER)
    flags.get_boolean_value("button", False, EvaluationContext("user-2"))
    flags.get_boolean_value("no-such-flag", False, USER)
    flags.track("rating", USER, TrackingEventDetails(4.5))
    flags.track("clicks", USER)
    assert tidegate_client.tracked == [
        ("button", "on", "user-1", "rating", 4.5),
        ("chat-model", "v2", "user-1", "rating", 4.5),
        ("button", "on", "user-1", "clicks", 1.0),
        ("chat-model", "v2", "user-1", "clicks", 1.0),
    ]


def test_track_goes_to_the_last_variant_given(
    flags: OpenFeatureClient, tidegate_client: TestClient
) -> None:
    flags.get_string_value("theme", "", USER)
    tidegate_client.set("theme", "light")
    flags.get_string_value("theme", "", USER)
    flags.track("rating", USER, TrackingEventDetails(0))
    assert tidegate_client.tracked == [("theme", "light", "user-1", "rating", 0.0)]


@pytest.mark.parametrize("context", [USER, EvaluationContext(), None])
def test_track_without_a_flag_is_logged(
    flags: OpenFeatureClient,
    tidegate_client: TestClient,
    caplog: pytest.LogCaptureFixture,
    context: EvaluationContext | None,
) -> None:
    flags.track("rating", context, TrackingEventDetails(5))
    assert tidegate_client.tracked == []
    assert "no flag was evaluated for the targeting key" in caplog.text


def test_memory_for_track_is_bounded(
    tidegate_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNITS", 10)
    monkeypatch.setattr(module, "MOST_FLAGS", 2)
    provider = TidegateProvider(tidegate_client)
    for number in range(50):
        for flag in ("theme", "colour", "button", "colour"):
            provider.resolve_object_details(flag, {}, EvaluationContext(f"user-{number}"))
        provider.resolve_object_details("theme", {}, EvaluationContext("user-0"))
    assert list(provider._seen._units) == [f"user-{i}" for i in range(41, 50)] + ["user-0"]
    assert all(len(flags) <= 2 for flags in provider._seen._units.values())
    provider.track("rating", EvaluationContext("user-49"))
    assert {each.flag for each in tidegate_client.tracked} == {"button", "colour"}


class Heard:
    """Keeps the events of the provider."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self._news = threading.Condition()
        for event in ProviderEvent:
            api.add_handler(event, partial(self._hear, event.value.removeprefix("PROVIDER_")))

    def until(self, *names: str) -> list[tuple[str, Any]]:
        """Wait until these events came, and no other ones."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.events) >= len(names), 10), self.events
            assert sorted(name for name, _ in self.events) == sorted(names)
            heard, self.events = self.events, []
            return heard

    def _hear(self, name: str, details: EventDetails) -> None:
        with self._news:
            self.events.append((name, details))
            self._news.notify_all()


def test_events_follow_the_state_and_the_flags(tidegate_client: TestClient) -> None:
    heard = Heard()
    heard.until("READY")  # of the provider that does nothing
    api.set_provider_and_wait(TidegateProvider(tidegate_client))
    heard.until("READY")
    flags = api.get_client()

    tidegate_client.become(State.STALE)
    heard.until("STALE")
    assert flags.get_provider_status() is ProviderStatus.STALE
    details = flags.get_boolean_details("button", False, USER)
    assert (details.value, details.reason) == (True, Because.STALE)

    tidegate_client.become(State.READY)
    heard.until("READY")
    assert flags.get_provider_status() is ProviderStatus.READY

    tidegate_client.set("button", "off", {"value": False})
    ((_, changed),) = heard.until("CONFIGURATION_CHANGED")
    assert (changed.flags_changed, changed.provider_name) == (["button"], "tidegate")
    assert flags.get_boolean_value("button", True, USER) is False

    api.shutdown()
    assert not tidegate_client._states  # nobody listens any more
    assert not tidegate_client._changes


def test_flags_that_come_late_make_the_provider_ready() -> None:
    flag = make_flag(shares=(100,))
    with fake_server() as server, Client(server.address) as client:
        with pytest.raises(ProviderNotReadyError):
            api.set_provider_and_wait(TidegateProvider(client, ready_timeout=0.1))
        heard = Heard()
        heard.until("ERROR")  # what is so is told to new handlers
        server.until(lambda: server.streams == 1)
        server.send(snapshot(make_snapshot(flag)))
        heard.until("READY", "CONFIGURATION_CHANGED")
        flags = api.get_client()
        assert flags.get_provider_status() is ProviderStatus.READY
        assert flags.get_string_value("chat-model", "", USER) == "v1"
        api.shutdown()


def test_shutting_down_closes_the_client(tidegate_client: TestClient) -> None:
    api.set_provider_and_wait(TidegateProvider(tidegate_client))
    assert api.get_client().get_provider_status() is ProviderStatus.READY
    api.shutdown()
    assert tidegate_client.state is State.CLOSED


def test_a_closed_client_is_fatal(tidegate_client: TestClient) -> None:
    tidegate_client.close()
    with pytest.raises(ProviderFatalError) as caught:
        api.set_provider_and_wait(TidegateProvider(tidegate_client))
    assert "the client is closed" in str(caught.value.error_message)
    flags = api.get_client()
    assert flags.get_provider_status() is ProviderStatus.FATAL
    details = flags.get_boolean_details("button", False, USER)
    assert details.error_code is ErrorCode.PROVIDER_FATAL
    api.shutdown()


def test_initialising_waits_for_the_flags_and_not_for_ever() -> None:
    with fake_server() as server, Client(server.address) as client:
        with pytest.raises(ProviderNotReadyError) as caught:
            api.set_provider_and_wait(TidegateProvider(client, ready_timeout=0.1))
        assert "no flags from the server within 0.1 s" in str(caught.value.error_message)
        flags = api.get_client()
        assert flags.get_provider_status() is ProviderStatus.ERROR
        details = flags.get_boolean_details("button", False, USER)
        assert (details.value, details.error_code) == (False, ErrorCode.PROVIDER_NOT_READY)
        api.shutdown()


def test_a_real_client_answers() -> None:
    flag = make_flag(shares=(100,), variants=(Variant(VariantKey("v1"), {"value": True}),))
    with fake_server(snapshot(make_snapshot(flag))) as server:
        api.set_provider_and_wait(TidegateProvider(Client(server.address)))
        flags = api.get_client()
        assert flags.get_boolean_value("chat-model", False, USER) is True
        flags.track("rating", USER, TrackingEventDetails(5))
        api.shutdown()
        assert sorted(event[3:] for event in server.events()) == [("", 1.0), ("rating", 5.0)]


def test_without_the_sdk_of_openfeature_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['openfeature'] = None\n"
        "try: import tidegate.openfeature\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=60, check=True, capture_output=True, text=True
    )
    assert "pip install 'tidegate[openfeature]'" in done.stdout
