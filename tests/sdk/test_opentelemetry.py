"""What an instrumented client tells OpenTelemetry, by its own SDK."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import feature_flag_attributes as conventions
from opentelemetry.trace import SpanKind, StatusCode

import tidegate
from tests.sdk.fake_server import FakeServer, fake_server, snapshot
from tests.sdk.flags import make_flag, make_snapshot
from tidegate.config_stream import State
from tidegate.model import Reason
from tidegate.opentelemetry import METRICS, STATE, instrument
from tidegate.testing import TestClient


class Spans:
    """Keeps the spans that ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("tests")

    def ended(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def event_of(self, span: str) -> dict[str, Any]:
        """Return the attributes of the one event of the one span by that name."""
        (found,) = self.ended(span)
        (event,) = found.events
        assert event.name == "feature_flag.evaluation"
        return dict(event.attributes or {})


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    yield spans
    spans.provider.shutdown()


@pytest.fixture
def client() -> TestClient:
    return TestClient({"chat-model": ("v2", {"endpoint": "http://new"})})


def test_an_evaluation_is_an_event_of_the_current_span(spans: Spans, client: TestClient) -> None:
    instrument(client, tracer_provider=spans.provider, flag_set="prod")
    with spans.tracer.start_as_current_span("request"):
        choice = client.assign("chat-model", "user-1", {"team": "sales"})
    assert (choice.variant, choice.value["endpoint"]) == ("v2", "http://new")
    assert spans.event_of("request") == {
        conventions.FEATURE_FLAG_KEY: "chat-model",
        conventions.FEATURE_FLAG_PROVIDER_NAME: "tidegate",
        conventions.FEATURE_FLAG_RESULT_VARIANT: "v2",
        conventions.FEATURE_FLAG_RESULT_REASON: "split",
        conventions.FEATURE_FLAG_CONTEXT_ID: "user-1",
        conventions.FEATURE_FLAG_SET_ID: "prod",
        conventions.FEATURE_FLAG_VERSION: str(choice.revision),
    }


def test_what_fails_has_an_error_and_no_variant(spans: Spans, client: TestClient) -> None:
    instrument(client, tracer_provider=spans.provider, unit_ids=False)
    with spans.tracer.start_as_current_span("request"):
        assert client.assign("none", "user-1", default=7).value == 7
    told = spans.event_of("request")
    assert told["feature_flag.result.reason"] == "error"
    assert told["error.type"] == "flag_not_found"
    assert told.keys().isdisjoint({"feature_flag.result.variant", "feature_flag.context.id"})


def test_reasons_are_those_of_the_conventions(spans: Spans, client: TestClient) -> None:
    instrument(client, tracer_provider=spans.provider)
    client.become(State.STALE)
    with spans.tracer.start_as_current_span("stale"):
        client.assign("chat-model", "user-1")
    assert spans.event_of("stale")["feature_flag.result.reason"] == "stale"
    known = {each.value for each in conventions.FeatureFlagResultReasonValues}
    assert {tidegate.because.because(r, stale=False).lower() for r in Reason} <= known


def test_an_evaluation_is_a_log_event_where_there_is_a_provider(
    spans: Spans, client: TestClient
) -> None:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    logs = LoggerProvider()
    logs.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    instrument(client, tracer_provider=spans.provider, logger_provider=logs)
    with spans.tracer.start_as_current_span("request") as span:
        client.assign("chat-model", "user-1")
    client.assign("chat-model", "user-2")
    records = [each.log_record for each in exporter.get_finished_logs()]
    assert [record.event_name for record in records] == ["feature_flag.evaluation"] * 2
    told = [dict(record.attributes or {}) for record in records]
    assert told[0] == spans.event_of("request")
    assert told[1]["feature_flag.context.id"] == "user-2"
    assert records[0].trace_id == span.get_span_context().trace_id
    logs.shutdown()


def test_a_measured_block_is_a_span_and_is_measured(spans: Spans, client: TestClient) -> None:
    instrument(client, tracer_provider=spans.provider)
    choice = client.assign("chat-model", "user-1")
    with choice.measure() as same:
        assert same is choice
        inner = trace.get_current_span()
        assert inner.is_recording()
    with pytest.raises(TimeoutError), choice.measure():
        raise TimeoutError("too slow")
    good, bad = spans.ended("measure chat-model")
    assert good.context == inner.get_span_context()
    assert dict(good.attributes or {}) == {
        "feature_flag.key": "chat-model",
        "feature_flag.provider.name": "tidegate",
        "feature_flag.result.variant": "v2",
    }
    assert (good.status.status_code, bad.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
    assert bad.events[0].name == "exception"
    assert [each[3:] for each in client.tracked if each.name == "error"] == [
        ("error", 0.0),
        ("error", 1.0),
    ]


def test_all_else_is_as_without(spans: Spans, client: TestClient) -> None:
    end = instrument(client, tracer_provider=spans.provider)
    with pytest.raises(tidegate.ConfigurationError, match="instrumented already"):
        instrument(client)
    choice = client.assign("chat-model", "user-1", session_id="s")
    assert isinstance(choice, tidegate.Assignment)
    client.track("rating", 5, choice)
    client.track("rating", 4, choice.token)
    choice.served("v2")
    assert [each.value for each in client.tracked] == [5, 4]
    assert len(client.exposures) == 1
    assert client.assign(7, None).reason is Reason.FLAG_NOT_FOUND  # type: ignore[arg-type]
    end()
    with spans.tracer.start_as_current_span("after"):
        assert type(client.assign("chat-model", "user-1")) is tidegate.Assignment
    (after,) = spans.ended("after")
    assert not after.events
    end()
    instrument(client)()


class Broken(TestClient):
    """A client whose state can't be told."""

    @property
    def state(self) -> State:
        raise OSError("cannot say")


def test_what_goes_wrong_there_does_not_reach_the_application(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    client = Broken({"chat-model": "v2"})
    instrument(client, tracer_provider=spans.provider)
    with spans.tracer.start_as_current_span("request"):
        assert client.assign("chat-model", "user-1").variant == "v2"
    assert "could not be told to OpenTelemetry" in caplog.text
    assert "cannot say" in caplog.text


def test_a_client_is_not_kept_alive(spans: Spans) -> None:
    meters = MeterProvider([InMemoryMetricReader()])
    client = TestClient({"chat-model": "v2"})
    instrument(client, tracer_provider=spans.provider, meter_provider=meters)
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
    meters.shutdown()


def read_metrics(reader: InMemoryMetricReader) -> dict[tuple[str, Any], float]:
    data = reader.get_metrics_data()
    return (
        {}
        if data is None
        else {
            (metric.name, dict(point.attributes or {}).get(STATE)): point.value
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
        }
    )


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server(snapshot(make_snapshot(make_flag(shares=(100,))))) as server:
        yield server


def test_metrics_tell_what_became_of_events(server: FakeServer) -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    with tidegate.Client(server.address) as client:
        end = instrument(client, meter_provider=meters)
        assert client.wait_ready(10)
        client.assign("chat-model", "user-1").track(rating=5)
        client.track("no valid name", 1, client.assign("chat-model", "user-1"))
        assert client.flush(10)
        found = read_metrics(reader)
        age = found.pop(("tidegate.client.snapshot.age", None))
        assert 0 <= age < 60
        assert found == {
            ("tidegate.client.events", "acknowledged"): 2,
            ("tidegate.client.events", "dropped"): 0,
            ("tidegate.client.events", "refused"): 1,
            ("tidegate.client.events.waiting", "queued"): 0,
            ("tidegate.client.events.waiting", "spooled"): 0,
        }
        assert {name for name, _ in found} < METRICS.keys()
        end()
        assert not read_metrics(reader)
    meters.shutdown()


def test_each_attempt_to_send_is_a_span_that_the_server_can_continue(
    server: FakeServer, spans: Spans
) -> None:
    server.answers = [grpc.StatusCode.UNAVAILABLE]
    with tidegate.Client(server.address) as client:
        instrument(client, tracer_provider=spans.provider)
        assert client.wait_ready(10)
        client.assign("chat-model", "user-1")
        assert client.flush(10)
    failed, sent = spans.ended("tidegate.v1.EventService/ReportEvents")
    host, _, port = server.address.rpartition(":")
    for span in (failed, sent):
        assert span.kind is SpanKind.CLIENT
        assert dict(span.attributes or {}) == {
            "rpc.system.name": "grpc",
            "rpc.method": "tidegate.v1.EventService/ReportEvents",
            "server.address": host,
            "server.port": int(port),
            "tidegate.request.id": server.attempts[0].batch_id.hex(),
            "tidegate.batch.events": 1,
        }
    assert failed.status.status_code is StatusCode.ERROR
    assert sent.status.status_code is StatusCode.UNSET
    assert [each.rpartition("-")[0] for each in server.traceparents] == [
        f"00-{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"
        for context in (failed.get_span_context(), sent.get_span_context())
        if context is not None
    ]


def test_without_it_nothing_is_sent_along(server: FakeServer) -> None:
    with tidegate.Client(server.address) as client:
        assert client.wait_ready(10)
        client.assign("chat-model", "user-1")
        assert client.flush(10)
    assert server.traceparents == [""]


class BrokenProcessor(SpanProcessor):
    """Raises, which a processor must not."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.name == "measure chat-model":
            return  # it breaks at the end
        raise RuntimeError("broken")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("broken")


def test_spans_that_break_lose_no_event_and_reach_no_application(
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(BrokenProcessor())
    flags = snapshot(make_snapshot(make_flag(), revision=4))
    with fake_server(flags) as server, tidegate.Client(server.address) as client:
        assert client.wait_ready(10)
        instrument(client, tracer_provider=provider)
        choice = client.assign("chat-model", "user-1")
        with choice.measure():
            pass
        with pytest.raises(KeyError), choice.measure():
            raise KeyError
        assert client.flush(10)
        stats = client.stats()
    assert stats.dropped == 0
    assert stats.acknowledged == len(server.events()) > 0
    assert "a span could not be told to OpenTelemetry" in caplog.text
