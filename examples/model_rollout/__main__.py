"""Runs the application until it is told to stop: `python -m examples.model_rollout --help`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

import tidegate

from .app import Application
from .ledger import Ledger
from .models import DigitImages, load_images, train_models
from .traffic import requests

DATA_SEED = 7
POPULATION_SEED = 1
READY_SECONDS = 30.0
FLUSH_SECONDS = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the models, serve users, and flush what was reported; return the exit code."""
    options = parse(arguments)
    stop_wishes: SimpleQueue[str] = SimpleQueue()  # unlike an Event, safe in signal handlers
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop_wishes.put("signal"))
    if options.stop_with_stdin:
        Thread(target=wait_for_end_of_input, args=(stop_wishes,), daemon=True).start()
    train, held_out = load_images(DATA_SEED)
    ledger = Ledger()
    with tidegate.Client(options.server, client_name="model_rollout") as client:
        application = Application(client, train_models(train), ledger)
        if not client.wait_ready(READY_SECONDS):
            print(f"no flags from {options.server}: is `tidegate up` running?", file=sys.stderr)
            return 1
        print("serving", flush=True)
        serve_users(application, held_out, options, stop_wishes)
        flushed = client.flush(FLUSH_SECONDS)
        if options.result:
            ledger.write(options.result, client.stats(), flushed=flushed)
    return 0 if flushed else 1


def serve_users(
    application: Application,
    images: DigitImages,
    options: argparse.Namespace,
    stop_wishes: "SimpleQueue[str]",
) -> None:
    """Serve users in several threads until somebody wishes to stop, or a thread fails."""
    stop = Event()
    rate = options.rate / options.threads
    with ThreadPoolExecutor(options.threads) as pool:
        servers = [
            pool.submit(
                application.serve_all,
                requests(images, POPULATION_SEED, options.seed + number),
                rate,
                stop,
            )
            for number in range(options.threads)
        ]
        for server in servers:
            server.add_done_callback(lambda _: stop_wishes.put("a thread ended"))
        stop_wishes.get()
        stop.set()
    for server in servers:
        server.result()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="model_rollout", description=__doc__)
    parser.add_argument("--server", default="127.0.0.1:7070", help="address of Tidegate's server")
    parser.add_argument("--rate", type=float, default=2_000, help="requests a second")
    parser.add_argument("--threads", type=int, default=2, help="threads that serve users")
    parser.add_argument("--seed", type=int, default=1, help="decides who sends what when")
    parser.add_argument("--result", type=Path, help="file for the ledger, as JSON")
    parser.add_argument(
        "--stop-with-stdin", action="store_true", help="stop when standard input is closed"
    )
    return parser.parse_args(arguments)


def wait_for_end_of_input(stop_wishes: "SimpleQueue[str]") -> None:
    """Ask for a stop once standard input is closed: whoever started the program has ended."""
    while os.read(sys.stdin.fileno(), 1_024):
        pass
    stop_wishes.put("end of input")


if __name__ == "__main__":
    sys.exit(main())
