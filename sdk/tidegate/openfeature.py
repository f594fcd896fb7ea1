"""A provider for OpenFeature: `pip install 'tidegate[openfeature]'`.

    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext

    api.set_provider(TidegateProvider(tidegate.Client("127.0.0.1:7070")))
    flags = api.get_client()
    user = EvaluationContext("user-1", {"team": "sales"})
    model = flags.get_object_value("chat-model", {"model": "llama-v1"}, user)
    flags.track("rating", user, TrackingEventDetails(5))

The targeting key is the unit's id, the context's other attributes are what rules look at. An object
flag gives a variant's whole value. A boolean, a number or a string is the entry "value" of it, as
in `on: {value: true}`; a string, where there is no such entry, is the variant's key.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

try:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.event import ProviderEventDetails
    from openfeature.exception import (
        FlagNotFoundError,
        GeneralError,
        InvalidContextError,
        OpenFeatureError,
        ProviderFatalError,
        ProviderNotReadyError,
        TargetingKeyMissingError,
        TypeMismatchError,
    )
    from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
    from openfeature.flag_evaluation import Reason as Because
    from openfeature.provider import AbstractProvider, Metadata
    from openfeature.track import TrackingEventDetails
except ImportError as error:
    raise ImportError(
        "tidegate.openfeature needs the OpenFeature SDK: pip install 'tidegate[openfeature]'"
    ) from error

from tidegate.assignment import Assignment
from tidegate.because import because
from tidegate.changes import FlagsChanged
from tidegate.client import Client
from tidegate.config_stream import State
from tidegate.log_limit import LogLimit
from tidegate.model import Reason

log = logging.getLogger("tidegate")

T = TypeVar("T")

MOST_UNITS = 10_000
"""Units whose assignments are remembered for `track`; the least recently seen goes first."""

MOST_FLAGS = 100
"""Flags that are remembered of a unit."""

ERRORS: Mapping[Reason, tuple[Callable[[str], OpenFeatureError], str]] = {
    Reason.FLAG_NOT_FOUND: (FlagNotFoundError, "there is no flag {flag!r}"),
    Reason.NOT_READY: (ProviderNotReadyError, "there are no flags from the server yet"),
    Reason.INVALID_UNIT: (
        InvalidContextError,
        "the targeting key must be a string of 1 to 1,000 characters",
    ),
    Reason.ERROR: (GeneralError, "flag {flag!r} could not be evaluated: see the log"),
}


class TidegateProvider(AbstractProvider):
    """Answers OpenFeature from a Client, which it closes when OpenFeature shuts it down."""

    def __init__(
        self, client: Client, *, ready_timeout: float = 10.0, session_attribute: str = ""
    ) -> None:
        """Wrap a client.

        Args:
            client: answers; may be used directly, too.
            ready_timeout: longest time that `initialize` waits for the flags, in seconds.
            session_attribute: name of the context's attribute that holds the id of a session to
                pin (see Client.assign); "": no session is pinned.
        """
        super().__init__()
        self._client = client
        self._ready_timeout = ready_timeout
        self._session_attribute = session_attribute
        self._told: State | None = None  # the state that OpenFeature knows
        self._initialising = False
        self._subscriptions: tuple[Callable[[], None], ...] = ()
        self._seen = _Seen()
        self._limited_log = LogLimit(log)

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata("tidegate")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Wait for the flags, for at most `ready_timeout`.

        Raises:
            ProviderFatalError: the client is closed.
            ProviderNotReadyError: the time ran out. PROVIDER_READY follows when the flags come.
        """
        if self._client.state is State.CLOSED:
            raise ProviderFatalError("the client is closed: give the provider a new one")
        self._unsubscribe()
        self._subscriptions = (
            self._client.on_state_change(self._tell_state),
            self._client.on_change(self._tell_change),
        )
        self._initialising = True
        ready = self._client.wait_ready(self._ready_timeout)
        self._told = State.READY if ready else None  # OpenFeature tells its end by itself
        self._initialising = False
        if not ready:
            raise ProviderNotReadyError(
                f"no flags from the server within {self._ready_timeout:g} s: see the log"
            )

    def shutdown(self) -> None:
        """Close the client: what is queued is sent first."""
        self._unsubscribe()
        self._client.close()

    def _unsubscribe(self) -> None:
        subscriptions, self._subscriptions = self._subscriptions, ()
        for unsubscribe in subscriptions:
            unsubscribe()

    def _tell_state(self, state: State) -> None:
        if self._initialising or state is self._told:
            return
        self._told = state
        if state is State.READY:
            self.emit_provider_ready(ProviderEventDetails())
        else:
            self.emit_provider_stale(
                ProviderEventDetails(message=f"the flags are no longer updated: {state.value}")
            )

    def _tell_change(self, change: FlagsChanged) -> None:
        if not self._initialising:
            self.emit_provider_configuration_changed(
                ProviderEventDetails(
                    flags_changed=sorted(change.flags), metadata={"revision": change.revision}
                )
            )

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Return the entry "value", a boolean."""
        return self._resolve(flag_key, evaluation_context, _boolean)

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Return the entry "value", a string; the variant's key where there is none."""
        return self._resolve(flag_key, evaluation_context, _string)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Return the entry "value", a whole number."""
        return self._resolve(flag_key, evaluation_context, _integer)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Return the entry "value", a number."""
        return self._resolve(flag_key, evaluation_context, _float)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Return the variant's whole value."""
        return self._resolve(flag_key, evaluation_context, _object)

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Report an outcome for every flag that was evaluated for the targeting key.

        OpenFeature's `track` names no flag. So the last assignment of each flag is remembered, of
        MOST_UNITS units; the value is 1 where the details hold none. Attributes are not reported.
        """
        unit_id = evaluation_context.targeting_key if evaluation_context else None
        value = tracking_event_details.value if tracking_event_details else None
        assignments = self._seen.of(unit_id) if unit_id else ()
        for assignment in assignments:
            self._client.track(tracking_event_name, 1.0 if value is None else value, assignment)
        if not assignments:
            self._limited_log.warning(
                "track",
                "%.100r is not recorded: no flag was evaluated for the targeting key %.100r",
                tracking_event_name,
                unit_id,
            )

    def _resolve(
        self, flag_key: str, context: EvaluationContext | None, read: Callable[[Assignment], T]
    ) -> FlagResolutionDetails[T]:
        if context is None or not context.targeting_key:
            raise TargetingKeyMissingError(
                "give EvaluationContext(targeting_key=…): the id of the user, or another unit"
            )
        assignment = self._assign(flag_key, context.targeting_key, context.attributes)
        failure = ERRORS.get(assignment.reason)
        if failure is not None:
            error, message = failure
            raise error(message.format(flag=flag_key))
        self._seen.add(context.targeting_key, assignment)
        return FlagResolutionDetails(
            read(assignment),
            reason=self._because(assignment),
            variant=assignment.variant,
            flag_metadata=_metadata(assignment),
        )

    def _assign(self, flag_key: str, unit_id: str, attributes: Mapping[str, Any]) -> Assignment:
        session_id: Any = (
            attributes.get(self._session_attribute) if self._session_attribute else None
        )
        return self._client.assign(flag_key, unit_id, attributes, session_id=session_id)

    def _because(self, assignment: Assignment) -> Because:
        stale = self._client.state is not State.READY
        return Because(because(assignment.reason, stale=stale))


class _Seen:
    """The last assignment of each flag, of the units seen last."""

    def __init__(self) -> None:
        self._units: OrderedDict[str, OrderedDict[str, Assignment]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, unit_id: str, assignment: Assignment) -> None:
        with self._lock:
            flags = self._units.setdefault(unit_id, OrderedDict())
            flags[assignment.flag] = assignment
            flags.move_to_end(assignment.flag)
            self._units.move_to_end(unit_id)
            if len(flags) > MOST_FLAGS:
                flags.popitem(last=False)
            if len(self._units) > MOST_UNITS:
                self._units.popitem(last=False)

    def of(self, unit_id: str) -> tuple[Assignment, ...]:
        with self._lock:
            return tuple(self._units.get(unit_id, {}).values())


def _metadata(assignment: Assignment) -> dict[str, bool | int | float | str]:
    metadata: dict[str, bool | int | float | str] = {
        "flag": assignment.flag,
        "phase": assignment.phase,
        "revision": assignment.revision,
        "reason": assignment.reason.value,
        "version": str(assignment.revision),
    }
    if assignment.rule:
        metadata["rule"] = assignment.rule
    return metadata


def _boolean(assignment: Assignment) -> bool:
    value = assignment.value.get("value")
    if isinstance(value, bool):
        return value
    raise _mismatch(assignment, "a boolean")


def _string(assignment: Assignment) -> str:
    value = assignment.value.get("value", assignment.variant)
    if isinstance(value, str):
        return value
    raise _mismatch(assignment, "a string")


def _integer(assignment: Assignment) -> int:
    value = assignment.value.get("value")
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise _mismatch(assignment, "a whole number")


def _float(assignment: Assignment) -> float:
    value = assignment.value.get("value")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _mismatch(assignment, "a number")


def _object(assignment: Assignment) -> Mapping[str, FlagValueType]:
    value: Mapping[str, FlagValueType] = assignment.value
    return value


def _mismatch(assignment: Assignment, wanted: str) -> TypeMismatchError:
    return TypeMismatchError(
        f'variant {assignment.variant!r} of flag {assignment.flag!r} has no entry "value" that is '
        f"{wanted}; read it with get_object_value, or change the variant"
    )
