import logging
import threading

import pytest

from tidegate.listeners import Listeners


def test_callbacks_are_told_in_order_until_they_unsubscribe() -> None:
    listeners: Listeners[int] = Listeners()
    assert not listeners
    told: list[tuple[str, int]] = []
    stop = listeners.add(lambda event: told.append(("one", event)))
    listeners.add(lambda event: told.append(("two", event)))
    assert listeners
    listeners.tell(1)
    stop()
    stop()
    listeners.tell(2)
    assert told == [("one", 1), ("two", 1), ("two", 2)]


def test_one_callback_can_be_added_twice() -> None:
    listeners: Listeners[int] = Listeners()
    told: list[int] = []
    stop = listeners.add(told.append)
    listeners.add(told.append)
    stop()
    listeners.tell(1)
    assert told == [1]


def test_a_fault_is_logged_and_reaches_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    listeners: Listeners[int] = Listeners()
    told: list[int] = []

    def fail(_: int) -> None:
        raise RuntimeError("a fault")

    listeners.add(fail)
    listeners.add(told.append)
    listeners.tell(1)
    assert told == [1]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "a fault" in caplog.text


def test_a_lock_held_at_a_fork_is_replaced() -> None:
    listeners: Listeners[int] = Listeners()
    held = threading.Event()
    release = threading.Event()

    def hold() -> None:
        with listeners._lock:
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    listeners.after_fork()
    told: list[int] = []
    listeners.add(told.append)
    listeners.tell(1)
    assert told == [1]
    release.set()
    thread.join()
