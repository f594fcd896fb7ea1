"""The application: asks Tidegate which version serves a user, runs it, and reports how it went."""

import time
from collections.abc import Iterable, Mapping
from threading import Event

import tidegate

from .ledger import Ledger
from .models import Model, UnreadableImageError
from .traffic import Request

FLAG = "digit-model"

FALLBACK = {"model": "logistic-regression"}
"""Served while there is no flag: the application works without Tidegate, too."""


class Application:
    """Reads digits for users, with the version of the model that Tidegate chooses for each."""

    def __init__(
        self, client: tidegate.Client, models: Mapping[str, Model], ledger: Ledger
    ) -> None:
        self._client = client
        self._models = models
        self._ledger = ledger

    def serve(self, request: Request) -> int | None:
        """Return the digit on the user's image; None where it could not be read."""
        attributes = {"country": request.country}
        choice = self._client.assign(FLAG, request.user_id, attributes, default=FALLBACK)
        model = self._models[choice.value["model"]]
        try:
            with choice.measure():  # reports latency_ms, and error: 1 if the block raises, else 0
                answer = model.read(request.image)
        except UnreadableImageError:
            self._ledger.note(choice, ("latency_ms", "error"))
            return None
        choice.track(rating=request.rate(answer))
        self._ledger.note(choice, ("latency_ms", "error", "rating"))
        return answer

    def serve_all(self, requests: Iterable[Request], rate: float, stop: Event) -> None:
        """Serve requests, at most `rate` a second, until `stop` is set."""
        turn = time.monotonic()
        for request in requests:
            now = time.monotonic()
            turn = max(turn + 1 / rate, now - 1)  # catches up with at most a second of delay
            if stop.wait(max(0.0, turn - now)):
                return
            self.serve(request)
