"""Model servers in processes of their own, and an application that asks them."""

import http.client
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import grpc

import tidegate.replicas
from tests.e2e.calls import SECONDS, split_messages
from tests.e2e.experiments.rollouts import Rollout
from tests.e2e.stack import Stack, running_stack
from tidegate.model import PPM, FlagKey
from tidegate.structs import struct_from_json
from tidegate.v1 import (
    experiment_service_pb2,
    flag_pb2,
    flag_service_pb2,
    flag_service_pb2_grpc,
    replica_service_pb2,
    replica_service_pb2_grpc,
)
from tidegate_server.wire.experiments import plan_to_message

ROOT = Path(__file__).parents[3]
QUICK = {"TIDEGATE_REPLICA_HEARTBEAT_SECONDS": "0.3", "TIDEGATE_REPLICA_DRAIN_SECONDS": "5"}


@contextmanager
def stack_with_replicas(data_dir: Path) -> Iterator[Stack]:
    """Run `tidegate up` with quick heartbeats of replicas."""
    with running_stack(data_dir, **QUICK) as stack:
        yield stack


def create_flag(
    address: str, values: Mapping[str, Mapping[str, Any]], shares: Mapping[str, int]
) -> None:
    """Create the flag chat-model with these variants, the first of which is the default."""
    flag = flag_pb2.Flag(
        key="chat-model",
        variants=[
            flag_pb2.Variant(key=key, value=struct_from_json(value))
            for key, value in values.items()
        ],
        default_variant=next(iter(values)),
        split=split_messages(shares),
    )
    with grpc.insecure_channel(address) as channel:
        stub = flag_service_pb2_grpc.FlagServiceStub(channel)
        stub.CreateFlag(flag_service_pb2.CreateFlagRequest(flag=flag), timeout=SECONDS)


def begin(rollout: Rollout) -> None:
    """Create an experiment on the flag that is there, and start it."""
    with rollout._stub() as stub:
        create = experiment_service_pb2.CreateExperimentRequest(plan=plan_to_message(rollout.plan))
        stub.CreateExperiment(create, timeout=SECONDS)
        start = experiment_service_pb2.StartExperimentRequest(key=rollout.plan.key, actor="anna")
        stub.StartExperiment(start, timeout=SECONDS)


def replicas(address: str) -> dict[str, replica_service_pb2.Replica]:
    """Return the replicas by name."""
    with grpc.insecure_channel(address) as channel:
        stub = replica_service_pb2_grpc.ReplicaServiceStub(channel)
        listed = stub.ListReplicas(replica_service_pb2.ListReplicasRequest(), timeout=SECONDS)
    return {each.id: each for each in listed.replicas}


def serving(address: str) -> Counter[str]:
    """Return how many replicas take traffic, by variant."""
    ready = replica_service_pb2.REPLICA_STATE_READY
    return Counter(
        each.variant
        for each in replicas(address).values()
        if each.state == ready and not each.drained
    )


def watch_serving(address: str, reached: Callable[[Counter[str]], bool]) -> list[Counter[str]]:
    """Watch the replicas until those that take traffic are as they should be; return all seen."""
    seen: list[Counter[str]] = []
    ready = replica_service_pb2.REPLICA_STATE_READY
    with grpc.insecure_channel(address) as channel:
        stub = replica_service_pb2_grpc.ReplicaServiceStub(channel)
        request = replica_service_pb2.WatchReplicasRequest(flag_key="chat-model")
        for answer in stub.WatchReplicas(request, wait_for_ready=True):
            found = Counter(
                each.variant for each in answer.replicas if each.state == ready and not each.drained
            )
            seen.append(found)
            if reached(found):
                break
    return seen


@dataclass
class ModelServer:
    """One process. said: its lines so far."""

    name: str
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    @property
    def loads(self) -> list[str]:
        """The variants that it was told to load, in order."""
        return [line.split()[1] for line in self.said if line.startswith("loads")]


@contextmanager
def model_servers(address: str, **variants: str) -> Iterator[dict[str, ModelServer]]:
    """Run a model server for each name, which begins with a variant (and more words).

    All have registered when the block begins.
    """
    with ExitStack() as stack:
        servers = {}
        for name, words in variants.items():
            command = [sys.executable, "-m", "tests.e2e.replicas.model_server", address, name]
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, *words.split()], cwd=ROOT, stdout=subprocess.PIPE, text=True
                )
            )
            stack.callback(process.kill)
            servers[name] = ModelServer(name, process)
        threads = [threading.Thread(target=_listen, args=(each,)) for each in servers.values()]
        for thread in threads:
            thread.start()
        watch_serving(address, lambda found: found.total() == len(servers))
        try:
            yield servers
        finally:
            for each in servers.values():
                each.process.terminate()
            for each in servers.values():
                each.process.wait(20)
            for thread in threads:
                thread.join()


def _listen(server: ModelServer) -> None:
    assert server.process.stdout is not None
    for line in server.process.stdout:
        server.said.append(line)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request. variant: that was assigned; served: by the model server."""

    user: str
    variant: str
    replica: str
    served: str
    ok: bool
    reason: str


@dataclass
class Application:
    """Asks model servers for its users, as an application does: a thread for each at a time."""

    client: tidegate.Client
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pool = self.client.replicas("chat-model", fallback="v1")
        assert self.client.wait_ready(SECONDS)
        assert self.pool.wait_ready(SECONDS)

    def wait_split(self, **shares: int) -> None:
        """Wait until this application has a split, in percent."""
        wanted = {variant: share * PPM // 100 for variant, share in shares.items()}
        self._until(lambda: self._split() == wanted)

    def wait_replicas(self, variant: str, *names: str) -> None:
        """Wait until this application knows these replicas of a version, and no others."""
        self._until(
            lambda: {each.id for each in self.pool.by_version.get(variant, ())} == set(names)
        )

    def ask(self, user: str) -> Answer:
        """Serve one request of a user."""
        choice = self.client.assign("chat-model", user)
        pick = self.pool.pick(choice)
        name = served = ""
        try:
            with choice.measure(), pick as replica:
                name = "" if replica is None else replica.id
                served = _ask(replica)
        except (OSError, http.client.HTTPException):
            pass  # it was measured as an error
        else:
            choice.track(rating=(4.0 if served == "v1" else 4.6) + Random(user).gauss(0, 0.4))
        answer = Answer(user, choice.variant, name, served, bool(served), pick.reason)
        self.answers.append(answer)
        return answer

    def ask_all(self, users: Iterable[str], threads: int = 8) -> list[Answer]:
        """Serve one request of each user."""
        with ThreadPoolExecutor(threads) as executor:
            return list(executor.map(self.ask, users))

    def _split(self) -> dict[str, int]:
        flag = self.client._current.compiled.snapshot.flags[FlagKey("chat-model")]
        return {str(share.variant): share.ppm for share in flag.split}

    def _until(self, holds: Callable[[], bool]) -> None:
        """Wait for what only threads of the SDK know; they have no bell for that."""
        pause = threading.Event()
        for _ in range(2_000):
            if holds():
                return
            pause.wait(0.01)
        raise AssertionError("it did not come to pass")

    @contextmanager
    def busy(self, threads: int = 4) -> Iterator[None]:
        """Serve new users during the block."""
        over = threading.Event()

        def work(thread: int) -> None:
            number = 0
            while not over.wait(0.01):
                self.ask(f"user-{thread}-{number}")
                number += 1

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            over.set()
            for worker in workers:
                worker.join()


@contextmanager
def application(address: str) -> Iterator[Application]:
    """Run an application in this process."""
    with tidegate.Client(address) as client:
        yield Application(client)


def _ask(replica: tidegate.replicas.Replica | None) -> str:
    """Ask a model server; return the variant that it serves.

    Raises:
        OSError, HTTPException: it does not answer, or fails, or there is none.
    """
    if replica is None:
        raise ConnectionError("there is no replica")
    host, _, port = replica.address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    if response.status != 200:
        raise ConnectionError(f"{replica.address} answered {response.status}")
    return str(answer["variant"])
