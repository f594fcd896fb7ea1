"""Traces and metrics of a client, for OpenTelemetry: `pip install 'tidegate[otel]'`.

    from tidegate.opentelemetry import instrument

    client = tidegate.Client("127.0.0.1:7070")
    instrument(client)

From then on:

* each `assign` adds an event `feature_flag.evaluation` to the current span, by the semantic
  conventions for feature flags; with a `logger_provider` it is also emitted as a log event;
* the block of `choice.measure()` is a span, with the flag and the variant;
* each attempt to send events is a span, which the server continues (W3C `traceparent`);
* there are metrics of what became of events: see METRICS.

The application configures OpenTelemetry itself, as for all of its libraries: without providers all
of this does nothing. A client that is not instrumented is not touched.
"""

import logging
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import time_ns
from types import TracebackType
from typing import Any

try:
    from opentelemetry import metrics, propagate, trace
    from opentelemetry._logs import LoggerProvider, SeverityNumber
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import SpanKind, Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue
except ImportError as error:
    raise ImportError(
        "tidegate.opentelemetry needs OpenTelemetry's API: pip install 'tidegate[otel]'"
    ) from error

from tidegate import __version__
from tidegate.assignment import Assignment, Measurement
from tidegate.because import ERROR_CODES, because
from tidegate.client import Client
from tidegate.config_stream import State
from tidegate.delivery import METHOD, Around, Metadata
from tidegate.errors import ConfigurationError
from tidegate.event_batch import Batch
from tidegate.log_limit import LogLimit

log = logging.getLogger("tidegate")

NAME = "tidegate"
EVALUATION = "feature_flag.evaluation"

METRICS: Mapping[str, str] = {
    "tidegate.client.events": "Events, by what became of them.",
    "tidegate.client.events.waiting": "Events that wait, in memory or on disk.",
    "tidegate.client.snapshot.age": "Time since the server was last heard.",
}
"""The metrics of a client, and what they say."""

STATE = "tidegate.event.state"
"""Attribute of the first two: acknowledged, dropped or refused; queued or spooled."""


def instrument(
    client: Client,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    unit_ids: bool = True,
    flag_set: str = "",
) -> Callable[[], None]:
    """Have a client tell of its work; return what ends that.

    Args:
        client: any, also one of tests.
        tracer_provider, meter_provider: where spans and metrics go; without, to the global ones.
        logger_provider: where evaluations are emitted as log events, too; without, nowhere.
        unit_ids: whether ids of units may leave the process, as `feature_flag.context.id`.
        flag_set: `feature_flag.set.id`: the environment, for instance.

    Raises:
        ConfigurationError: it does so already.
    """
    if "assign" in vars(client):
        raise ConfigurationError("client: it is instrumented already; end that first")
    tracer = trace.get_tracer(NAME, __version__, tracer_provider)
    evaluations = _Evaluations(client, logger_provider, unit_ids=unit_ids, flag_set=flag_set)
    measured = _measured_in_spans(tracer)
    assign = client.assign

    def assign_and_tell(
        flag: str,
        unit_id: str,
        attributes: Mapping[str, Any] | None = None,
        default: Any = None,
        session_id: str | None = None,
    ) -> Assignment:
        assignment = measured()
        plain = assign(flag, unit_id, attributes, default, session_id)
        assignment.grant, assignment.unit_id = plain.grant, plain.unit_id
        evaluations.tell(assignment)
        return assignment

    client.assign = assign_and_tell  # type: ignore[method-assign] # of this client alone
    client._around_sending(_spans_of_sending(tracer, client.address))  # noqa: SLF001 - a part of it
    observed = _Observed(client, metrics.get_meter(NAME, __version__, meter_provider))

    def end() -> None:
        vars(client).pop("assign", None)
        client._around_sending(None)  # noqa: SLF001 - a part of it
        observed.end()

    return end


class _Evaluations:
    """Tells of assignments. Nothing that goes wrong here reaches the caller."""

    def __init__(
        self, client: Client, logs: LoggerProvider | None, *, unit_ids: bool, flag_set: str
    ) -> None:
        self._client = weakref.ref(client)
        self._logger = None if logs is None else logs.get_logger(NAME, __version__)
        self._unit_ids = unit_ids
        self._flag_set = flag_set
        self._limited_log = LogLimit(log)

    def tell(self, assignment: Assignment) -> None:
        try:
            span = trace.get_current_span()
            if not span.is_recording() and self._logger is None:
                return
            attributes = self._attributes(assignment)
            if span.is_recording():
                span.add_event(EVALUATION, attributes)
            if self._logger is not None:
                self._logger.emit(
                    event_name=EVALUATION,
                    timestamp=time_ns(),
                    severity_number=SeverityNumber.INFO,
                    attributes=attributes,
                )
        except Exception as error:  # noqa: BLE001 - must not reach the application
            self._limited_log.warning(
                EVALUATION, "an assignment could not be told to OpenTelemetry", error=error
            )

    def _attributes(self, assignment: Assignment) -> dict[str, AttributeValue]:
        client = self._client()
        stale = client is not None and client.state is not State.READY
        attributes: dict[str, AttributeValue] = {
            "feature_flag.key": assignment.flag,
            "feature_flag.provider.name": NAME,
            "feature_flag.result.reason": because(assignment.reason, stale=stale).lower(),
            "feature_flag.version": str(assignment.revision),
        }
        if assignment.variant:
            attributes["feature_flag.result.variant"] = assignment.variant
        if assignment.reason in ERROR_CODES:
            attributes["error.type"] = ERROR_CODES[assignment.reason].lower()
        if self._unit_ids:
            attributes["feature_flag.context.id"] = assignment.unit_id
        if self._flag_set:
            attributes["feature_flag.set.id"] = self._flag_set
        return attributes


def _measured_in_spans(tracer: Tracer) -> type[Assignment]:
    """Return assignments whose measured blocks are spans."""

    class Measured(Assignment):
        __slots__ = ()

        def measure(self) -> Measurement:
            return _SpanMeasurement(self, tracer)

    return Measured


@contextmanager
def _safe_span(tracer: Tracer, name: str, **how: Any) -> Iterator[None]:
    """Make a span of the block. Nothing that goes wrong with the span reaches the block."""
    span = tracer.start_as_current_span(name, **how)
    with _nothing_raised():
        span.__enter__()
    try:
        yield
    except BaseException as error:
        with _nothing_raised(error):
            span.__exit__(type(error), error, error.__traceback__)
        raise
    with _nothing_raised():
        span.__exit__(None, None, None)


@contextmanager
def _nothing_raised(known: BaseException | None = None) -> Iterator[None]:
    """Log what the block raises, but `known`, which whoever raised it will raise again."""
    try:
        yield
    except Exception as error:
        if error is not known:
            log.exception("a span could not be told to OpenTelemetry")


class _SpanMeasurement(Measurement):
    """Measures a block, which is a span."""

    __slots__ = ("_span",)

    def __init__(self, assignment: Assignment, tracer: Tracer) -> None:
        super().__init__(assignment)
        self._span = _safe_span(
            tracer,
            f"measure {assignment.flag}",
            attributes={
                "feature_flag.key": assignment.flag,
                "feature_flag.provider.name": NAME,
                "feature_flag.result.variant": assignment.variant,
            },
        )

    def __enter__(self) -> Assignment:
        self._span.__enter__()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
        self._span.__exit__(kind, error, traceback)


def _spans_of_sending(tracer: Tracer, address: str) -> Around:
    """Return what makes a span of each attempt to send a batch, and gives what is sent with it."""
    host, _, port = address.rpartition(":")
    where: dict[str, AttributeValue] = {}
    if port.isdecimal():
        where = {"server.address": host, "server.port": int(port)}

    @contextmanager
    def span(batch: Batch) -> Iterator[Metadata]:
        method = METHOD.removeprefix("/")
        with _safe_span(
            tracer,
            method,
            kind=SpanKind.CLIENT,
            attributes={
                "rpc.system.name": "grpc",
                "rpc.method": method,
                **where,
                "tidegate.request.id": batch.request_id,
                "tidegate.batch.events": batch.size,
            },
        ):
            carrier: dict[str, str] = {}
            propagate.inject(carrier)
            yield [(key.lower(), value) for key, value in carrier.items()]

    return span


class _Observed:
    """A client whose numbers a meter asks for, until `end`."""

    def __init__(self, client: Client, meter: Meter) -> None:
        self._client = weakref.ref(client)
        self._ended = False
        told, waiting, age = METRICS
        meter.create_observable_counter(told, [self._told], "{event}", METRICS[told])
        meter.create_observable_up_down_counter(
            waiting, [self._waiting], "{event}", METRICS[waiting]
        )
        meter.create_observable_gauge(age, [self._age], "s", METRICS[age])

    def end(self) -> None:
        self._ended = True

    def _found(self) -> Client | None:
        return None if self._ended else self._client()

    def _told(self, _: CallbackOptions) -> Iterator[Observation]:
        client = self._found()
        if client is not None:
            stats = client.stats()
            yield Observation(stats.acknowledged, {STATE: "acknowledged"})
            yield Observation(stats.dropped, {STATE: "dropped"})
            yield Observation(stats.refused, {STATE: "refused"})

    def _waiting(self, _: CallbackOptions) -> Iterator[Observation]:
        client = self._found()
        if client is not None:
            stats = client.stats()
            yield Observation(stats.queued, {STATE: "queued"})
            yield Observation(stats.spooled, {STATE: "spooled"})

    def _age(self, _: CallbackOptions) -> Iterator[Observation]:
        client = self._found()
        if client is not None and client.snapshot_age is not None:
            yield Observation(client.snapshot_age)
