"""An assignment in the application's hands: it can report what became of it."""

from functools import lru_cache
from time import perf_counter
from types import TracebackType

from tidegate import evaluation
from tidegate.arm import arm_of
from tidegate.errors import ConfigurationError
from tidegate.evaluation import Given
from tidegate.model import Revision
from tidegate.model_version import ModelVersion
from tidegate.recorder import Recorder
from tidegate.token import hash_bytes, write_token


class Grant(evaluation.Grant):
    """What is given at one revision, by one client.

    `seen` are the units that are known to have been given it. See `Recorder.seen_by`.
    """

    __slots__ = ("recorder", "seen")

    def __init__(
        self, given: Given, revision: Revision, recorder: Recorder, seen: set[str]
    ) -> None:
        super().__init__(given, revision)
        self.recorder = recorder
        self.seen = seen


class Assignment(evaluation.Assignment):
    """A unit's variant, why it was given, and the way to report outcomes.

    Never raises once it exists; whatever can't be reported is counted and logged.
    """

    __slots__ = ()

    grant: Grant

    @property
    def token(self) -> str:
        """A short text of A-Z, a-z, 0-9, "_" and "-", for `Client.track` elsewhere and later.

        It holds the flag, the variant, the phase and the unit's hash, not the unit's id. "" where
        there is no variant.
        """
        if not self.given.variant:
            return ""
        return write_token(arm_of(self.given), hash_bytes(self.unit_id))

    @property
    def model_version(self) -> ModelVersion | None:
        """The variant's value as a model version; None where it is none."""
        return _model_version(self.given)

    def track(self, /, **outcomes: float) -> None:
        """Report outcomes: names of 1 to 100 characters of a-z, 0-9, "_"; finite numbers or bools.

        For names with other characters see `Client.track`. Numbers lie within ±1e100.
        """
        grant = self.grant
        for outcome, value in outcomes.items():
            grant.recorder.track(grant.given, self.unit_id, outcome, value)

    def served(self, variant: str) -> None:
        """Report that another variant of the flag was served than the assigned one, a fallback.

        It is the outcome "served.<variant>" with the value 1. All outcomes stay those of the
        assigned variant, whatever was served: so a variant grants for the fallbacks that it needs,
        and units are compared as they were randomised.
        """
        self.grant.recorder.served(self.given, self.unit_id, variant)

    def measure(self) -> "Measurement":
        """Return a context manager that reports latency_ms and error of the block it is put round.

        latency_ms is the block's time in milliseconds; error is 1 if it raises, otherwise 0. What
        the block raises goes on to the caller.
        """
        return Measurement(self)


class Measurement:
    """Measures a block; see `Assignment.measure`."""

    __slots__ = ("_assignment", "_began")

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._began = perf_counter()

    def __enter__(self) -> Assignment:
        self._began = perf_counter()
        return self._assignment

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        milliseconds = (perf_counter() - self._began) * 1_000
        self._assignment.track(latency_ms=milliseconds, error=kind is not None)


@lru_cache(maxsize=1_024)
def _model_version(given: Given) -> ModelVersion | None:
    try:
        return ModelVersion.from_value(given.value)
    except ConfigurationError:
        return None
