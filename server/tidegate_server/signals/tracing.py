"""Traces of calls: only where OpenTelemetry is installed, and its own variables ask for it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, TypeAlias

import structlog
from structlog.contextvars import bind_contextvars

from tidegate_server.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

log = structlog.get_logger(__name__)

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]

INSTALL = "pip install 'tidegate[otel]' opentelemetry-sdk opentelemetry-exporter-otlp-proto-grpc"

_EXPORTER = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

ERRORS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Statuses that are the server's fault, by the semantic conventions for gRPC."""


class Tracing:
    """Makes a span of each call, which continues the trace of the client."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        """Give spans to `provider`; without, to the global one."""
        from opentelemetry import propagate, trace

        self._trace = trace
        self._extract = propagate.extract
        self._tracer = trace.get_tracer("tidegate_server", tracer_provider=provider)

    @contextmanager
    def span(self, method: str, metadata: Metadata) -> Iterator[None]:
        """Make a span of the block; the call's log lines have the id of its trace.

        method: full, with its slash.
        """
        name = method.removeprefix("/")
        with self._tracer.start_as_current_span(
            name,
            self._extract({key: value for key, value in metadata if isinstance(value, str)}),
            kind=self._trace.SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": name},
            record_exception=False,  # statuses that are answers are raised, too
            set_status_on_exception=False,
        ) as span:
            trace_id = self._trace.format_trace_id(span.get_span_context().trace_id)
            bind_contextvars(trace_id=trace_id)
            yield

    def note_end(self, status: str, error: Exception | None) -> None:
        """Note the gRPC status of the call under way, and what failed."""
        span = self._trace.get_current_span()
        span.set_attribute("rpc.response.status_code", status)
        if status in ERRORS:
            span.set_attribute("error.type", status)
            span.set_status(self._trace.StatusCode.ERROR)
            if error is not None:
                span.record_exception(error)


def tracing_from(environment: Mapping[str, str], role: str) -> Tracing | None:
    """Return what the standard variables OTEL_* ask for; None if they ask for no traces.

    Where the process has a tracer provider already, as by `opentelemetry-instrument`, that is used.

    Raises:
        ConfigurationError: OTEL_TRACES_EXPORTER names none that is installed.
    """
    wanted = environment.get(_EXPORTER) or (
        "otlp" if any(environment.get(name) for name in _ENDPOINTS) else "none"
    )
    if wanted == "none" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("traces_left_out", cause="OpenTelemetry is not installed", fix=INSTALL)
        return None
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return Tracing()
    exporters = [_exporter(name.strip(), environment) for name in wanted.split(",")]
    provider = TracerProvider(resource=Resource.create(_service(environment, role)))
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter.load()()))
    log.info("traces_exported", to=wanted)
    return Tracing(provider)


def _exporter(name: str, environment: Mapping[str, str]) -> EntryPoint:
    if name == "otlp":
        protocol = next(filter(None, map(environment.get, _PROTOCOLS)), "grpc")
        name = f"otlp_proto_{'http' if protocol.startswith('http') else 'grpc'}"
    known = {each.name: each for each in entry_points(group="opentelemetry_traces_exporter")}
    if name not in known:
        raise ConfigurationError(
            f"{_EXPORTER}: there is no exporter {name!r} here: install it ({INSTALL}), choose one "
            f"of {', '.join(sorted(known)) or 'none'}, or set it to `none`"
        )
    return known[name]


def _service(environment: Mapping[str, str], role: str) -> dict[str, str]:
    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return {} if named else {"service.name": f"tidegate-{role}"}
