"""One environment as the dashboard knows it: flags and experiments followed, the rest on demand."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import grpc

from tidegate.v1 import (
    assignment_service_pb2,
    flag_pb2,
    flag_service_pb2,
    report_service_pb2,
)
from tidegate_server.dashboard.api import Api, CallFailed
from tidegate_server.dashboard.feeds import Feed, Followed, Polled
from tidegate_server.dashboard.points import SeriesTable, Span, merged, since
from tidegate_server.domain.experiments.records import Experiment, NumberedDecision, Seen
from tidegate_server.wire.experiments import (
    decision_from_message,
    experiment_from_message,
    look_from_message,
)

T = TypeVar("T")

PRESENT = -1
"""Stands for the phase that a flag is in."""

FAST_SECONDS, SLOW_SECONDS = 1.0, 3.0
"""How long after an answer things are asked for again."""

MOST_REVISIONS = 200
MOST_LOOKS = 2_000
"""When there are so many they are all asked for anew, and come thinned."""


@dataclass(frozen=True, slots=True)
class Flags:
    """All flags at one revision, by key."""

    revision: int
    flags: Mapping[str, flag_pb2.Flag]


Experiments = Mapping[str, Experiment]
Report = report_service_pb2.Report
Distributions = Sequence[report_service_pb2.Distribution]
Revisions = Sequence[flag_service_pb2.FlagRevision]
Watching = assignment_service_pb2.ListWatchersResponse


class Environment:
    """The feeds of one environment; `run` keeps flags and experiments current."""

    def __init__(self, name: str, api: Api) -> None:
        self.name = name
        self.api = api
        self.flags = Followed(self._read_flags)
        self.experiments = Followed(self._read_experiments)
        self._watchers: Polled[Watching] = Polled(self._ask_watchers, SLOW_SECONDS)
        self._store: Polled[bool] = Polled(self._ask_store, SLOW_SECONDS)
        self._polled: dict[tuple[object, ...], Polled[Any]] = {}

    async def run(self) -> None:
        """Follow flags and experiments until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.flags.run())
                tasks.create_task(self.experiments.run())
        finally:
            await self.close()

    async def close(self) -> None:
        """Ask no more."""
        polled: Sequence[Polled[Any]] = (self._watchers, self._store, *self._polled.values())
        for feed in polled:
            feed.close()
        await self.api.close()

    @property
    def followed(self) -> Sequence[Feed[Any]]:
        """The feeds that tell whether what is known of flags and experiments is current."""
        return self.flags, self.experiments, self._store

    @property
    def misnamed(self) -> str:
        """What is wrong with the environment's name; empty if nothing is, or it is not known."""
        watching = self._watchers.value
        if watching is None or watching.environment == self.name:
            return ""
        return (
            f"The server at {self.api.address} serves the environment {watching.environment!r}, "
            f"not {self.name!r}: mend TIDEGATE_DASHBOARD_SERVERS or TIDEGATE_ENVIRONMENT."
        )

    def flag(self, key: str) -> flag_pb2.Flag | None:
        """Return a flag as it is known now; None where there is none."""
        known = self.flags.value
        return known.flags.get(key) if known is not None else None

    def experiment(self, key: str) -> Experiment | None:
        """Return an experiment as it is known now; None where there is none."""
        return (self.experiments.value or {}).get(key)

    def report(self, flag: str, phase: int = PRESENT, control: str = "") -> Feed[Report]:
        """Return the feed of a flag's report. phase: 0 stands for all."""

        async def fetch(_: Report | None) -> Report:
            known = self.flag(flag)
            if phase != PRESENT or known is None:
                return await self.api.report(flag, control=control, phase=max(phase, 0))
            try:
                return await self.api.report(flag, control=control, phase=known.phase)
            except CallFailed as error:
                if error.code is not grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                return _no_data(known, control)

        return self._poll(("report", flag, phase, control), fetch, FAST_SECONDS)

    def series(self, flag: str, span: Span) -> Feed[SeriesTable]:
        """Return the feed of what happened to a flag in the time before now."""

        async def fetch(before: SeriesTable | None) -> SeriesTable:
            now = datetime.now(UTC)
            start = span.start(now)
            asked = since(before, start, now)
            answer = await self.api.series(flag, span.resolution, asked)
            return merged(before, answer, asked, start, span)

        return self._poll(("series", flag, span), fetch, FAST_SECONDS)

    def distributions(self, flag: str, outcome: str, phase: int) -> Feed[Distributions]:
        """Return the feed of how an outcome's values lie."""

        async def fetch(_: Distributions | None) -> Distributions:
            known = self.flag(flag)
            present = known.phase if known is not None else 0
            wanted = present if phase == PRESENT else phase
            try:
                return await self.api.distributions(flag, outcome, wanted)
            except CallFailed as error:
                if phase != PRESENT or error.code is not grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                return ()  # nothing has happened in it yet

        return self._poll(("distributions", flag, outcome, phase), fetch, SLOW_SECONDS)

    def revisions(self, flag: str) -> Feed[Revisions]:
        """Return the feed of what a flag said at its last revisions."""
        asked_at: int | None = None

        async def fetch(before: Revisions | None) -> Revisions:
            nonlocal asked_at
            known = self.flag(flag)
            revision = known.revision if known is not None else 0
            if before is not None and revision == asked_at:
                return before
            found = await self.api.revisions(flag, MOST_REVISIONS)
            asked_at = revision
            return found

        return self._poll(("revisions", flag), fetch, FAST_SECONDS)

    @property
    def watchers(self) -> Feed[Watching]:
        """The feed of who watches the server's process."""
        return self._watchers

    async def _ask_watchers(self, before: Watching | None) -> Watching:
        found = await self.api.watchers()
        return before if before is not None and before == found else found

    async def _ask_store(self, _: bool | None) -> bool:
        """Return True; a server without its store goes on telling what was before."""
        if await self.api.reaches_store():
            return True
        raise CallFailed(
            f"the server at {self.api.address} does not reach its store",
            grpc.StatusCode.UNAVAILABLE,
        )

    def looks(self, experiment: str) -> Feed[Sequence[Seen]]:
        """Return the feed of what an experiment's looks saw."""

        async def fetch(before: Sequence[Seen] | None) -> Sequence[Seen]:
            kept = before if before and len(before) < MOST_LOOKS else ()
            after_ms = int(kept[-1].time.timestamp() * 1_000) if kept else 0
            found = [look_from_message(each) for each in await self.api.looks(experiment, after_ms)]
            new = [each for each in found if not kept or each.time > kept[-1].time]
            return before if before and kept and not new else [*kept, *new]

        return self._poll(("looks", experiment), fetch, FAST_SECONDS)

    def decisions(self, experiment: str) -> Feed[Sequence[NumberedDecision]]:
        """Return the feed of an experiment's decisions, the oldest first."""

        async def fetch(before: Sequence[NumberedDecision] | None) -> Sequence[NumberedDecision]:
            answer = await self.api.decisions(experiment, before[-1].number if before else 0)
            found = [decision_from_message(each) for each in answer.decisions]
            return before if before is not None and not found else [*(before or ()), *found]

        return self._poll(("decisions", experiment), fetch, FAST_SECONDS)

    def _poll(
        self,
        name: tuple[object, ...],
        fetch: Callable[[T | None], Awaitable[T]],
        seconds: float,
    ) -> Feed[T]:
        """Return the feed of this name; those that nobody needs any more are forgotten."""
        self._polled = {key: feed for key, feed in self._polled.items() if not feed.ended}
        if name not in self._polled:
            self._polled[name] = Polled(fetch, seconds)
        return self._polled[name]

    async def _read_flags(self) -> AsyncGenerator[Flags | None, None]:
        known: Flags | None = None
        async for message in self.api.watch_flags():
            match message.WhichOneof("update"):
                case "snapshot":
                    flags = {flag.key: flag for flag in message.snapshot.flags}
                    known = Flags(message.snapshot.revision, flags)
                case "change" if known is not None:
                    known = _changed(known, message.change)
            yield known

    async def _read_experiments(self) -> AsyncGenerator[Experiments | None, None]:
        found: dict[str, Experiment] = {}
        known: Experiments | None = None
        complete = False
        async for message in self.api.watch_experiments():
            event = message.WhichOneof("event")
            if event == "experiment":
                experiment = experiment_from_message(message.experiment)
                found[experiment.plan.key] = experiment
            elif event == "deleted_key":
                found.pop(message.deleted_key, None)
            complete = complete or event == "complete"
            if complete and event != "heartbeat":
                known = dict(sorted(found.items()))
            yield known


def _changed(known: Flags, change: assignment_service_pb2.FlagChange) -> Flags:
    """Return the flags after a change."""
    flags = dict(known.flags)
    match change.WhichOneof("change"):
        case "flag":
            flags[change.flag.key] = change.flag
            flags = dict(sorted(flags.items()))
        case "deleted_key":
            flags.pop(change.deleted_key, None)
    return Flags(change.revision, flags)


def _no_data(flag: flag_pb2.Flag, control: str) -> Report:
    """Return the report of a phase in which nothing has happened yet."""
    shares = {share.variant: share.share_ppm for share in flag.split if share.share_ppm}
    first = control or flag.default_variant
    names = [first, *(each.key for each in flag.variants if each.key != first)]
    return Report(
        flag_key=flag.key,
        revision=flag.revision,
        current_phase=flag.phase,
        control=first,
        variants=[
            report_service_pb2.VariantReport(variant=name, share_ppm=shares.get(name, 0), units=0)
            for name in names
            if name == first or name in shares
        ],
    )
