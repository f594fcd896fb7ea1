"""An assignment in the application's hands: it can report what became of it."""

from time import perf_counter
from types import TracebackType

from tidegate import evaluation
from tidegate.recorder import Recorder


class Assignment(evaluation.Assignment):
    """A unit's variant, why it was given, and the way to report outcomes.

    Never raises once it exists; whatever can't be reported is counted and logged.
    """

    __slots__ = ("recorder",)

    recorder: Recorder

    def track(self, /, **outcomes: float) -> None:
        """Report outcomes: names of 1 to 100 characters of a-z, 0-9, "_"; finite numbers or bools.

        For names with other characters see `Client.track`.
        """
        for outcome, value in outcomes.items():
            self.recorder.track(self.given, self.unit_id, outcome, value)

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
