"""A replica's side: registers, says how busy it is, and loads the version that it is told to."""

import atexit
import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from types import TracebackType
from typing import Any, Self

import grpc

from tidegate.backoff import Backoff
from tidegate.channel import SharedChannel
from tidegate.errors import ConfigurationError
from tidegate.options import checked_address
from tidegate.replicas.balance import UnderWay
from tidegate.replicas.served import AgentState, LoadModel, Said, Served
from tidegate.structs import json_from_struct
from tidegate.v1 import replica_service_pb2 as messages
from tidegate.v1 import replica_service_pb2_grpc

log = logging.getLogger("tidegate")

CALL_SECONDS = 5.0
"""How long one call may take."""

CLIENTS_HEAR_SECONDS = 0.25
"""How long it takes until all clients know that a replica takes no more traffic."""

MOST_LOAD = 1e9
"""What a server takes."""


class Agent:
    """Says for one model server where it is, what it serves and how busy it is; loads what it must.

    It begins with `start`, or with a `with` block, in the process that serves: a fork has none of
    it. One daemon thread talks to the server, another one loads models. Nothing is raised from
    there: what goes wrong is reported to the server and logged.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        id: str,  # noqa: A002 - its name in the API
        flag: str,
        address: str,
        variant: str = "",
        load_model: LoadModel | None = None,
        unload: Callable[[str], object] | None = None,
        load: Callable[[], float] | None = None,
        healthy: Callable[[], bool] | None = None,
        capacity: int = 0,
        driver_url: str = "",
    ) -> None:
        """Do nothing yet.

        Args:
            server: "host:port" of a Tidegate server; without it, the environment's TIDEGATE_SERVER.
            id: name of this replica, unique in its environment: 1 to 100 characters of a-z, 0-9,
                ".", "_" and "-".
            flag: key of the flag whose variants it can serve.
            address: where applications reach it; they are given it as it is.
            variant: key of the variant that it has loaded already; "": none.
            load_model: loads a variant, given its key and its value, and returns once it is served;
                what it raises is the problem that the server is told. It is called when no traffic
                comes any more. Without it, and without `driver_url`, the variant never changes.
            unload: called with the key of the variant that is loaded, before another one is.
            load: how busy it is, 0 or more; without it, the requests under way (see `request`) by
                the capacity.
            healthy: whether what is loaded still works, asked before each heartbeat; while it does
                not the replica is FAILED, and may be told to load its variant anew.
            capacity: requests that it may have under way; 0: not known.
            driver_url: where the controller tells a driver to load models, instead of this agent.

        Raises:
            ConfigurationError: an argument is wrong.
        """
        if load_model is not None and driver_url:
            raise ConfigurationError(
                "driver_url: is given beside load_model: leave one of them out"
            )
        if load_model is None and not driver_url and not variant:
            raise ConfigurationError(
                "variant: is not given, and without load_model it never will be: give one of them"
            )
        self._channel = SharedChannel(checked_address(server, "server"))
        self._registration = messages.Replica(
            id=id,
            flag_key=flag,
            address=address,
            capacity=capacity,
            driver_url=driver_url,
            fixed=load_model is None and not driver_url,
        )
        self._load = load
        self._news = threading.Event()
        self._served = Served(id, variant, load_model, unload, healthy, self._news)
        self._drained = False
        self._parting = threading.Event()  # it was said, or tried to say, that it drains
        self._registered = threading.Event()
        self._interval = 1.0
        self._under_way = UnderWay()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._cause: grpc.StatusCode | None = None  # of the failure that was logged last

    @property
    def variant(self) -> str:
        """Key of the variant that is loaded; "": none."""
        return self._served.said.variant

    @property
    def state(self) -> AgentState:
        """What the replica is doing."""
        return self._served.said.state

    @property
    def drained(self) -> bool:
        """Whether the server, when it was last heard, took this replica out of traffic."""
        return self._drained

    def request(self) -> AbstractContextManager[None]:
        """Return a context manager for one request: it is under way during the block."""
        return _Request(self._under_way)

    def become(self, state: AgentState, variant: str, problem: str = "") -> None:
        """Say what is served now, where a driver, and not this agent, loads the models."""
        self._served.become(Said(state, variant, problem))

    def start(self) -> None:
        """Begin, once; connect in the background."""
        if self._thread is not None:
            return
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="tidegate-agent", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def wait_registered(self, timeout: float | None = None) -> bool:
        """Wait until the server knows this replica; False if `timeout` (seconds) came first."""
        return self._registered.wait(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Take no new traffic, wait for requests under way, and deregister.

        Requests are under way until the load is 0. All of it within `timeout` seconds. Called by
        itself when the interpreter ends; call it on SIGTERM, which ends a program without that.
        """
        atexit.unregister(self.close)
        thread = self._thread
        if thread is None or self._stopping.is_set() or os.getpid() != self._pid:
            return
        until = monotonic() + timeout
        if self._registered.is_set():
            self._drain(until)
        self._stopping.set()
        self._news.set()
        thread.join(max(0.1, until - monotonic()))
        if self._registered.is_set():
            self._deregister(max(0.1, until - monotonic()))
        self._channel.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _drain(self, until: float) -> None:
        """Take no new traffic, and wait for requests under way, at most `until` (`monotonic`)."""
        self.become(AgentState.DRAINING, self.variant)
        self._parting.wait(max(0.0, until - monotonic()))
        pause = threading.Event()
        pause.wait(max(0.0, min(CLIENTS_HEAR_SECONDS, until - monotonic())))
        while self._present_load() > 0 and monotonic() < until:
            pause.wait(0.02)

    def _run(self) -> None:
        stub = replica_service_pb2_grpc.ReplicaServiceStub(self._channel.get())
        backoff, failures = Backoff(), 0
        while not self._stopping.is_set():
            said = self._served.look()
            try:
                self._say(stub, said)
                pause, failures, self._cause = self._interval, 0, None
            except grpc.RpcError as error:
                failures += 1
                pause = self._note_failure(error, failures, backoff)
            except Exception:
                failures += 1
                pause = backoff.pause(failures)
                log.exception("replica %s met a fault, and goes on", self._registration.id)
            if said.state is AgentState.DRAINING:
                self._parting.set()
            self._news.wait(pause)
            self._news.clear()

    def _say(self, stub: "replica_service_pb2_grpc.ReplicaServiceStub", what: Said) -> None:
        """Register or heartbeat, and begin what the answer asks for."""
        state, variant, problem = what
        said: dict[str, Any] = {
            "state": messages.ReplicaState.Value(f"REPLICA_STATE_{state}"),
            "variant": variant,
            "load": self._present_load(),
            "problem": problem,
        }
        if not self._registered.is_set():
            replica = messages.Replica(**said)
            replica.MergeFrom(self._registration)
            request = messages.RegisterReplicaRequest(replica=replica)
            registered = stub.RegisterReplica(request, timeout=CALL_SECONDS)
            self._interval = max(0.05, registered.heartbeat_interval_ms / 1_000)
            self._registered.set()
            self._drained = registered.replica.drained
            return
        beat = messages.HeartbeatReplicaRequest(id=self._registration.id, **said)
        heard = stub.HeartbeatReplica(beat, timeout=CALL_SECONDS)
        self._drained = heard.replica.drained
        wanted = heard.replica.wanted_variant
        if not wanted or heard.HasField("wanted_value"):  # otherwise it is not known there yet
            self._served.obey(wanted, json_from_struct(heard.wanted_value))

    def _note_failure(self, error: grpc.RpcError, failures: int, backoff: Backoff) -> float:
        """Log a failure whose cause is another than the last one's; return the seconds to wait."""
        code, details = grpc.StatusCode.UNKNOWN, str(error)
        if isinstance(error, grpc.Call):
            code, details = error.code(), error.details()
        known = self._registered.is_set()
        if code is grpc.StatusCode.NOT_FOUND and known:
            self._registered.clear()
            return 0.0
        cause, self._cause = self._cause, code
        if code is not cause and not self._stopping.is_set():
            log.warning(
                "replica %s can't %s at %s (%s: %s), and goes on trying",
                self._registration.id,
                "be heard" if known else "register",
                self._channel.address,
                code.name,
                details,
            )
        return min(self._interval, backoff.pause(failures))

    def _present_load(self) -> float:
        if self._load is not None:
            try:
                return min(max(0.0, float(self._load())), MOST_LOAD)
            except Exception:
                log.exception("replica %s: `load` failed", self._registration.id)
        return len(self._under_way) / (self._registration.capacity or 1)

    def _deregister(self, timeout: float) -> None:
        stub = replica_service_pb2_grpc.ReplicaServiceStub(self._channel.get())
        request = messages.DeregisterReplicaRequest(id=self._registration.id)
        try:
            stub.DeregisterReplica(request, timeout=timeout)
        except grpc.RpcError as error:
            log.warning("replica %s could not deregister: %s", self._registration.id, error)


class _Request:
    """Counts one request during a block."""

    __slots__ = ("_under_way",)

    def __init__(self, under_way: UnderWay) -> None:
        self._under_way = under_way

    def __enter__(self) -> None:
        self._under_way.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._under_way.end()
