"""Spans of calls: which, when, and whose traces they continue."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

import tidegate
from tests.e2e import calls
from tests.e2e.stack import WITHOUT_SETTINGS, command, free_port
from tests.server.rpc.test_request_ids import server
from tidegate.opentelemetry import instrument
from tidegate_server.errors import ConfigurationError
from tidegate_server.signals.tracing import Tracing, tracing_from

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Iterator[Tracing]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Tracing(provider)
    provider.shutdown()


async def test_a_call_is_a_span_of_the_clients_trace(
    exporter: InMemorySpanExporter, tracing: Tracing
) -> None:
    with capture_logs([merge_contextvars]) as lines:
        async with server(tracing) as method:
            await method(b"", metadata=(("traceparent", f"00-{TRACE}-{PARENT}-01"),))
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("tidegate.test/Call", SpanKind.SERVER)
    assert span.parent is not None
    assert trace.format_span_id(span.parent.span_id) == PARENT
    assert dict(span.attributes or {}) == {
        "rpc.system.name": "grpc",
        "rpc.method": "tidegate.test/Call",
        "rpc.response.status_code": "OK",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert [line["trace_id"] for line in lines] == [TRACE]


@pytest.mark.parametrize(
    ("request_", "code", "blame"),
    [
        (b"store", "UNAVAILABLE", "StoreUnavailable"),
        (b"input", "INVALID_ARGUMENT", ""),
        (b"defect", "INTERNAL", "KeyError"),
    ],
)
async def test_only_what_is_the_servers_fault_is_an_error(
    exporter: InMemorySpanExporter, tracing: Tracing, request_: bytes, code: str, blame: str
) -> None:
    async with server(tracing) as method:
        with pytest.raises(grpc.aio.AioRpcError):
            await method(request_)
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    told = dict(span.attributes or {})
    assert told["rpc.response.status_code"] == code
    assert told.get("error.type") == (code if blame else None)
    assert (span.status.status_code is StatusCode.ERROR) is bool(blame)
    raised = [dict(each.attributes or {})["exception.type"] for each in span.events]
    assert [str(each).rpartition(".")[2] for each in raised] == ([blame] if blame else [])


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"},
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "True"},
        {"OTEL_METRICS_EXPORTER": "otlp"},
    ],
)
def test_there_are_no_traces_unless_they_are_asked_for(environment: dict[str, str]) -> None:
    with capture_logs() as lines:
        assert tracing_from(environment, "server") is None
    assert not lines


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "zipkin"),
        ({"OTEL_TRACES_EXPORTER": "console,jaeger"}, "jaeger"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, "otlp_proto_grpc"),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            "otlp_proto_http",
        ),
    ],
)
def test_an_exporter_that_is_not_installed_is_named(environment: dict[str, str], name: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        tracing_from(environment, "server")
    assert f"OTEL_TRACES_EXPORTER: there is no exporter '{name}' here" in str(failure.value)
    assert "pip install 'tidegate[otel]'" in str(failure.value)
    assert "one of console" in str(failure.value)


def test_without_opentelemetry_a_server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with capture_logs() as lines:
        assert tracing_from({"OTEL_TRACES_EXPORTER": "console"}, "server") is None
    assert [each["event"] for each in lines] == ["traces_left_out"]


def test_a_batch_is_one_trace_from_the_sdk_to_the_servers_log(
    valkey_url: str, environment: str, tmp_path: Path, exporter: InMemorySpanExporter
) -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "TIDEGATE_REDIS_URL": valkey_url,
        "TIDEGATE_ENVIRONMENT": environment,
        "TIDEGATE_LISTEN": address,
        "OTEL_TRACES_EXPORTER": "console",
    }
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    process = subprocess.Popen(
        command("server"),
        env={**WITHOUT_SETTINGS, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        calls.apply_flag(address, "chat-model", v1=50, v2=50)
        with tidegate.Client(address) as client:
            instrument(client, tracer_provider=provider)
            assert client.wait_ready(30)
            client.assign("chat-model", "user-1")
            assert client.flush(30)
        process.terminate()
        spans, log = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
        provider.shutdown()
    (sent,) = exporter.get_finished_spans()
    assert "traces_exported" in log
    taken = [each for each in documents(spans) if each["name"] == sent.name]
    assert [each["context"]["trace_id"] for each in taken] == [f"0x{trace_id_of(sent)}"]
    assert taken[0]["resource"]["attributes"]["service.name"] == "tidegate-server"
    names = {each["name"] for each in documents(spans)}
    assert names == {"tidegate.v1.FlagService/CreateFlag", "tidegate.v1.EventService/ReportEvents"}


def documents(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects that were printed one after the other."""
    return [json.loads(each) for each in re.findall(r"^\{$.*?^\}$", text, re.DOTALL | re.MULTILINE)]


def trace_id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return trace.format_trace_id(span.context.trace_id)
