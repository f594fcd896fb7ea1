"""Section `rollback`: from the moment a breach is in the data to the SDKs' split at 0 %.

Each round starts an experiment with half of the units on the treatment, under healthy traffic. Then
the treatment's requests begin to fail, at a random moment between two looks. The clock starts when
the server has acknowledged these events, and stops for each of the connected clients when it gives
a unit of the treatment the control again.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

import tidegate
from benchmarks.measure import print_table
from tests.e2e.stack import running_stack
from tidegate.v1 import experiment_pb2, experiment_service_pb2, experiment_service_pb2_grpc
from tidegate_server.cli.experiment_file import parse_experiment_file
from tidegate_server.wire.experiments import plan_to_message

CLIENTS = 200
ROUNDS = {1: 20, 10: 5}
"""Rounds by the seconds between two looks; the longer ones only with --long."""

PLAN = """
experiment: {key}
flag: {key}
control: v1
treatment: v2
guardrails:
  - {{metric: error, max: 10%, window: 10s, looks: {looks}}}
stages:
  - {{name: half, share: 50%, bake: 1h}}
interval: {interval}s
"""
TURN, EVENTS_A_TURN, FAILURES = 0.1, 20, 500
READY_SECONDS = 60.0


def run(*, long: bool) -> None:
    """Measure and print."""
    rows = []
    for interval in (1, 10) if long else (1,):
        for looks in ("1 of 1", "2 of 3"):
            seconds = measure(interval, looks)
            rows.append(
                (
                    f"a look every {interval} s, {looks} must break it",
                    *(f"{figure:.2f} s" for figure in _figures(seconds)),
                )
            )
    print_table(
        f"from an acknowledged breach to 0 % in {CLIENTS} clients",
        ("plan", "median", "p99", "most"),
        rows,
    )


def _figures(seconds: list[float]) -> tuple[float, float, float]:
    return statistics.median(seconds), statistics.quantiles(seconds, n=100)[98], max(seconds)


def measure(interval: int, looks: str) -> list[float]:
    """Return the seconds that it took, of each client in each round."""
    rng = random.Random(1)
    found: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(Path(folder)) as stack,
        watching(stack.address) as watchers,
        tidegate.Client(stack.address) as client,
        grpc.insecure_channel(stack.address) as channel,
    ):
        experiments = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
        for number in range(ROUNDS[interval]):
            key = f"breach-{number}"
            stack.apply_flag(key, v1=100, v2=0)
            plan = parse_experiment_file(
                key, PLAN.format(key=key, looks=looks, interval=interval)
            ).plan
            experiments.CreateExperiment(
                experiment_service_pb2.CreateExperimentRequest(plan=plan_to_message(plan))
            )
            experiments.StartExperiment(
                experiment_service_pb2.StartExperimentRequest(key=key, actor="benchmark")
            )
            with healthy_traffic(client, key):
                await_pass(experiments, key)
                assert watchers.stdin is not None
                assert watchers.stdout is not None
                print(key, file=watchers.stdin, flush=True)
                assert watchers.stdout.readline() == "watching\n"
                time.sleep(rng.uniform(0, interval))
                fail(client, key)
                begun = time.monotonic()
                found += [at - begun for at in json.loads(watchers.stdout.readline())]
    return found


@contextmanager
def healthy_traffic(client: tidegate.Client, flag: str) -> Iterator[None]:
    """Report requests that succeed, of new units, during the block."""
    stop = threading.Event()

    def serve() -> None:
        number = 0
        while not stop.wait(TURN):
            for _ in range(EVENTS_A_TURN):
                client.assign(flag, f"unit-{number}").track(error=0)
                number += 1

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def await_pass(experiments: "experiment_service_pb2_grpc.ExperimentServiceStub", key: str) -> None:
    """Wait until a look at the stage has passed."""
    request = experiment_service_pb2.GetExperimentRequest(key=key)
    while True:
        state = experiments.GetExperiment(request).experiment.state
        observing = state.status == experiment_pb2.EXPERIMENT_STATUS_OBSERVING
        if observing and state.verdict == experiment_pb2.VERDICT_PASS:
            return
        time.sleep(TURN)


def fail(client: tidegate.Client, flag: str) -> None:
    """Report failures of the treatment, and wait until they are acknowledged."""
    failed = number = 0
    while failed < FAILURES:
        choice = client.assign(flag, f"failing-{number}")
        number += 1
        if choice.variant == "v2":
            choice.track(error=1)
            failed += 1
    assert client.flush(READY_SECONDS)


@contextmanager
def watching(address: str) -> Iterator["subprocess.Popen[str]"]:
    """Start the process with the clients."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.rolling_back", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def main() -> None:
    """For each flag on standard input write when each client gave its probe the control again."""
    clients = [
        tidegate.Client(sys.argv[1], record_exposures=False, client_name=f"watcher-{number}")
        for number in range(CLIENTS)
    ]
    for client in clients:
        assert client.wait_ready(READY_SECONDS)
    for line in sys.stdin:
        watch(clients, line.strip())


def watch(clients: list[tidegate.Client], flag: str) -> None:
    """Watch one flag until all clients have seen the treatment go."""
    probe = next(
        unit
        for unit in (f"probe-{number}" for number in range(1_000))
        if clients[0].assign(flag, unit).variant == "v2"
    )
    moments: dict[int, float] = {}
    everyone = threading.Event()

    def note(number: int) -> None:
        if number not in moments and clients[number].assign(flag, probe).variant == "v1":
            moments[number] = time.monotonic()
            if len(moments) == len(clients):
                everyone.set()

    ends = [
        client.on_change(lambda _, number=number: note(number))  # type: ignore[misc]
        for number, client in enumerate(clients)
    ]
    print("watching", flush=True)
    everyone.wait()
    for end in ends:
        end()
    print(json.dumps(list(moments.values())), flush=True)


if __name__ == "__main__":
    main()
