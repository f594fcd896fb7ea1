"""Stores that replicate, and the Sentinels that watch them: real processes on loopback."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis, exceptions

from tests.e2e.stack import free_port
from tests.waiting import until
from tidegate_server import embedded_store

SERVICE = "gate"
STORES, SENTINELS = 3, 3
DOWN_AFTER_MS = 500
WAIT_SECONDS = 30


@dataclass
class Sentinels:
    """Three stores, of which the Sentinels choose the primary. password: the stores'."""

    directory: Path
    password: str = ""
    stores: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    sentinels: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """What TIDEGATE_REDIS_URL says."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        credentials = f":{self.password}@" if self.password else ""
        return f"redis+sentinel://{credentials}{hosts}/{SERVICE}/0"

    def start(self) -> None:
        """Start all; it returns when the replicas follow and the Sentinels know them."""
        first, *others = (free_port() for _ in range(STORES))
        self._start_store(first)
        until(lambda: self._ask(first, "PING"), WAIT_SECONDS)
        for port in others:
            self.start_replica(port, first)
        until(lambda: self._replicas(first) == STORES - 1, WAIT_SECONDS)
        for port in (free_port() for _ in range(SENTINELS)):
            self._start_sentinel(port, first)
        for port in self.sentinels:
            until(partial(self._knows_all, port), WAIT_SECONDS)

    def start_replica(self, port: int, primary: int) -> None:
        """Start a store that follows another, also one that was killed."""
        self._start_store(port, "--replicaof", "127.0.0.1", str(primary))

    def _start_store(self, port: int, *options: str) -> None:
        directory = self.directory / str(port)
        directory.mkdir(exist_ok=True)
        secret = ("--requirepass", self.password, "--masterauth", self.password)
        self.stores[port] = self._run(
            directory / "store.log",
            *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            *("--repl-diskless-sync-delay", "0"),
            *(secret if self.password else ()),
            *options,
        )

    def primary(self) -> int:
        """Return the port of the primary, as the Sentinels see it."""
        for port in self.sentinels:
            told: Any = self._ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            if told:
                return int(told[1])
        raise AssertionError("no Sentinel answers")

    def kill(self, port: int) -> None:
        """End a store without warning."""
        process = self.stores.pop(port)
        process.kill()
        process.wait()

    def signal(self, port: int, number: signal.Signals) -> None:
        """Send a signal to a store."""
        self.stores[port].send_signal(number)

    def await_other_primary(self, former: int) -> int:
        """Wait until the Sentinels have chosen another primary; return its port."""
        until(
            lambda: self.primary() != former and self._role(self.primary()) == "master",
            WAIT_SECONDS,
        )
        return self.primary()

    def await_replicas(self) -> None:
        """Wait until all stores that run follow the primary."""
        until(lambda: self._replicas(self.primary()) == len(self.stores) - 1, WAIT_SECONDS)

    def stop(self) -> None:
        """End all."""
        for process in (*self.sentinels.values(), *self.stores.values()):
            process.kill()
            process.wait()

    def _start_sentinel(self, port: int, primary: int) -> None:
        directory = self.directory / str(port)
        directory.mkdir()
        secret = f"sentinel auth-pass {SERVICE} {self.password}\n" if self.password else ""
        configuration = directory / "sentinel.conf"
        configuration.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 4000\n{secret}"
        )
        log = directory / "sentinel.log"
        self.sentinels[port] = self._run(log, str(configuration), "--sentinel")

    def _run(self, log: Path, *options: str) -> subprocess.Popen[bytes]:
        binary = embedded_store.command(self.directory)[0]
        with log.open("ab") as out:
            return subprocess.Popen((binary, *options), stdout=out, stderr=out)

    def _knows_all(self, port: int) -> bool:
        replicas: Any = self._ask(port, "SENTINEL", "REPLICAS", SERVICE) or ()
        others: Any = self._ask(port, "SENTINEL", "SENTINELS", SERVICE) or ()
        return len(replicas) == STORES - 1 and len(others) == SENTINELS - 1

    def _replicas(self, port: int) -> int:
        told: Any = self._ask(port, "INFO", "replication") or {}
        replicas = [told[name] for name in told if name.startswith("slave")]
        return sum(isinstance(each, dict) and each["state"] == "online" for each in replicas)

    def _role(self, port: int) -> str:
        told: Any = self._ask(port, "INFO", "replication") or {}
        return str(told.get("role", ""))

    def _ask(self, port: int, *command: str) -> object:
        """Return the reply of a store or Sentinel; None while it does not answer."""
        password = self.password if port in self.stores else ""
        with Redis(port=port, password=password or None, socket_timeout=1) as client:
            try:
                return client.execute_command(*command)
            except exceptions.RedisError:
                return None


@contextmanager
def running_sentinels(directory: Path, password: str = "") -> Iterator[Sentinels]:
    """Run stores and Sentinels for the block."""
    group = Sentinels(directory, password)
    try:
        group.start()
        yield group
    finally:
        group.stop()
