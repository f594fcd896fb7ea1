"""Closing takes no longer than it may, whatever the server does; at the interpreter's end too."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.sdk.flags import make_flag, make_snapshot
from tidegate import Client, State


@contextmanager
def silent_server() -> Iterator[str]:
    """Accepts connections, and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        kept: list[socket.socket] = []
        accepted = threading.Event()

        def accept() -> None:
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return
                accepted.set()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for each in kept:
            each.close()


@contextmanager
def full_server() -> Iterator[str]:
    """Has no room for another connection: what asks for one is not even refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(8):
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
            waiting.append(each)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for each in waiting:
            each.close()


@contextmanager
def silent_dns() -> Iterator[str]:
    """A name whose only name server never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield f"dns://127.0.0.1:{server.getsockname()[1]}/tidegate.example.com:7070"


SERVERS = {"silent": silent_server, "full": full_server, "dns": silent_dns}


@pytest.mark.parametrize("server", SERVERS)
def test_close_is_bounded(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.client.checked_address", str)
    with SERVERS[server]() as address:
        client = Client(address, flush_interval=0.01)
        client._link.stream.begin_with(make_snapshot(make_flag()), None)
        client.assign("chat-model", "user-1").track(rating=1)
        threading.Event().wait(0.2)  # the threads are in the midst of it
        began = time.monotonic()
        client.close(0.5)
        assert time.monotonic() - began < 2
        assert client.state is State.CLOSED
        assert client.stats().dropped == 2


PROGRAM = """
import sys, time
import tidegate.client
from tests.sdk.flags import make_flag, make_snapshot
tidegate.client.checked_address = str
client = tidegate.Client(sys.argv[1])
client._link.stream.begin_with(make_snapshot(make_flag()), None)
client.assign("chat-model", "user-1").track(rating=1)
time.sleep(0.2)
"""


def test_the_interpreter_ends() -> None:
    with ExitStack() as stack:
        addresses = {name: stack.enter_context(server()) for name, server in SERVERS.items()}
        began = time.monotonic()
        programs = {
            name: stack.enter_context(subprocess.Popen([sys.executable, "-c", PROGRAM, address]))
            for name, address in addresses.items()
        }
        for name, program in programs.items():
            assert program.wait(60) == 0, name
            assert time.monotonic() - began < 10, name


def test_nothing_is_left_of_many_clients() -> None:
    with silent_server() as address:
        before = threading.active_count()
        for _ in range(50):
            client = Client(address)
            client.on_change(print)
            client.close(0.2)
        assert threading.active_count() <= before
