"""What a replica serves, and how it comes to serve something else."""

import logging
import threading
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

log = logging.getLogger("tidegate")

LONGEST_PROBLEM = 1_000

LoadModel: TypeAlias = Callable[[str, Mapping[str, Any]], object]
"""Loads a variant, given its key and its value."""


class AgentState(StrEnum):
    """What a replica is doing."""

    LOADING = "LOADING"  # loads a model; takes no traffic
    READY = "READY"  # serves its variant
    DRAINING = "DRAINING"  # is about to end; takes no new traffic
    FAILED = "FAILED"  # has no model that works; takes no traffic


class Said(NamedTuple):
    """What a replica says of itself. variant: "" for none. problem: what is wrong, in words."""

    state: AgentState
    variant: str
    problem: str = ""


class Served:
    """What one replica serves. `news` is set when that changes.

    load_model: None: nothing else can be loaded from here. healthy: None: nobody can tell.
    """

    def __init__(
        self,
        replica: str,
        variant: str,
        load_model: LoadModel | None,
        unload: Callable[[str], object] | None,
        healthy: Callable[[], bool] | None,
        news: threading.Event,
    ) -> None:
        self._replica = replica
        self._load_model = load_model
        self._unload = unload
        self._healthy = healthy
        self._news = news
        self._lock = threading.Lock()
        self._said = Said(AgentState.READY, variant)
        self._ailing: Said | None = None  # said because it is not healthy
        self._tried = ""

    @property
    def said(self) -> Said:
        """What there is to say now."""
        return self._said

    def look(self) -> Said:
        """Return what there is to say now, after a look at the health of what is served."""
        before = self._said
        ready = before.state is AgentState.READY and bool(before.variant)
        if self._healthy is None or not (ready or before is self._ailing):
            return before
        problem = self._ailment(self._healthy, before.variant)
        with self._lock:
            if self._said is not before:  # something else was said meanwhile
                return self._said
            if problem:
                self._said = self._ailing = Said(AgentState.FAILED, before.variant, problem)
            elif not ready:
                self._said = Said(AgentState.READY, before.variant)
            return self._said

    def become(self, said: Said) -> None:
        """Say this from now on."""
        with self._lock:
            self._become(said)

    def obey(self, wanted: str, value: Mapping[str, Any]) -> None:
        """Begin to load the wanted variant, unless that goes on, is done, or was just tried."""
        if wanted != self._tried:
            self._tried = ""
        load_model = self._load_model
        if load_model is None or wanted in ("", self._tried):
            return
        with self._lock:
            before = self._said
            served = before.state is AgentState.READY and before.variant == wanted
            if served or before.state not in (AgentState.READY, AgentState.FAILED):
                return
            self._said, self._tried = Said(AgentState.LOADING, ""), wanted
        threading.Thread(
            target=self._change,
            args=(load_model, before.variant, wanted, value),
            name="tidegate-load",
            daemon=True,
        ).start()
        self._news.set()

    def _change(
        self, load_model: LoadModel, before: str, wanted: str, value: Mapping[str, Any]
    ) -> None:
        try:
            if before and self._unload is not None:
                self._unload(before)
            load_model(wanted, value)
        except Exception as error:
            log.exception("replica %s could not load %s", self._replica, wanted)
            said = Said(AgentState.FAILED, "", _in_words(error))
        else:
            said = Said(AgentState.READY, wanted)
        with self._lock:
            if self._said.state is AgentState.DRAINING:  # it ends meanwhile
                said = said._replace(state=AgentState.DRAINING)
            self._become(said)

    def _become(self, said: Said) -> None:
        self._said = said._replace(problem=_told(said.problem))
        self._news.set()

    def _ailment(self, healthy: Callable[[], bool], variant: str) -> str:
        """Return why what is served is not healthy; "": it is."""
        try:
            return "" if healthy() else f"{variant} is not healthy"
        except Exception as error:  # noqa: BLE001 - it is told to the server
            return _told(_in_words(error))


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _told(problem: str) -> str:
    """Return a problem as it can be sent: no longer than may be, and text."""
    return problem[:LONGEST_PROBLEM].encode(errors="replace").decode()
