"""Callbacks of the application: called one after the other, their faults logged."""

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger("tidegate")

T = TypeVar("T")


class Listeners(Generic[T]):
    """Tells callbacks what happened, in the order in which they were added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: tuple[Callable[[T], object], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def add(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Tell `callback` from now on; return what ends that (again does nothing)."""

        def told(event: T) -> None:  # one object for each call of add
            callback(event)

        with self._lock:
            self._callbacks = (*self._callbacks, told)
        return lambda: self._remove(told)

    def tell(self, event: T) -> None:
        """Call all callbacks."""
        for callback in self._callbacks:
            try:
                callback(event)
            except Exception:
                log.exception("a callback failed")

    def clear(self) -> None:
        """Forget all callbacks."""
        self._callbacks = ()

    def after_fork(self) -> None:
        """Replace the lock, which another thread may have held when this process was forked."""
        self._lock = threading.Lock()

    def _remove(self, told: Callable[[T], object]) -> None:
        with self._lock:
            self._callbacks = tuple(each for each in self._callbacks if each is not told)
