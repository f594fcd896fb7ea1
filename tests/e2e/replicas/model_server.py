"""A tiny model server.

    python -m tests.e2e.replicas.model_server SERVER ID VARIANT [groups [SECONDS]]

It answers GET with its name and the variant that it serves, after the time that the variant's value
says (and SECONDS), or with 500 where the value says that it fails. It says on standard output what
it loads. With `groups` its variant never changes.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tidegate.replicas import Agent

LOAD_SECONDS = 0.1


class Model:
    """What is loaded."""

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self.value: Mapping[str, Any] = {}

    def load(self, variant: str, value: Mapping[str, Any]) -> None:
        say(f"loads {variant}")
        if value.get("does_not_load"):
            raise MemoryError("no room for it")
        time.sleep(LOAD_SECONDS)
        self.variant, self.value = variant, value

    def unload(self, variant: str) -> None:
        say(f"unloads {variant}")
        self.variant, self.value = "", {}


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(server: str, name: str, variant: str, *more: str) -> None:
    """Serve until SIGTERM."""
    model = Model(variant)
    slow = float(more[1]) if len(more) > 1 else 0.0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with agent.request():
                time.sleep(float(model.value.get("seconds", 0.0)) + slow)
                answer = json.dumps({"id": name, "variant": model.variant}).encode()
                ok = bool(model.variant) and not model.value.get("fails")
                self.send_response(200 if ok else 500)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    http = Server(("127.0.0.1", 0), Handler)
    fixed = "groups" in more
    agent = Agent(
        server,
        id=name,
        flag="chat-model",
        address=f"127.0.0.1:{http.server_port}",
        variant=variant,
        load_model=None if fixed else model.load,
        unload=None if fixed else model.unload,
        capacity=8,
    )
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=http.shutdown).start())
    with agent:
        http.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
