"""Experiments and their logs in Redis: the port ExperimentStore."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis

from tidegate.v1 import experiment_pb2
from tidegate_server.domain.checks import unknown
from tidegate_server.domain.experiments.plan import ExperimentKey, Plan
from tidegate_server.domain.experiments.records import Decision, Experiment, NumberedDecision, Seen
from tidegate_server.domain.experiments.state import ACTIVE
from tidegate_server.errors import FencedOff, InUse, NotFound, VersionConflict
from tidegate_server.ports import ExperimentCommit
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.config_store import commit_arguments, conflict
from tidegate_server.storage.keys import ConfigKeys, ExperimentKeys
from tidegate_server.storage.numbered_log import NumberedLog, new_token
from tidegate_server.wire.experiments import (
    decision_from_message,
    decision_to_message,
    experiment_from_message,
    experiment_to_message,
    look_from_message,
    look_to_message,
)

KEPT_CHANGES = 10_000
"""About how many changes of experiments are kept, for followers that lag behind."""

KEPT_LOOKS = 10_000
"""About how many looks at an experiment are kept: a day, at one in ten seconds."""

_COMMIT = Script.named("commit_experiment", "change_commit", "experiment_log", "fence")
_LOOKS = Script.named("read_looks")
_DELETE = Script.named("delete_experiment", "experiment_log")


class RedisExperimentStore:
    """One environment's experiments, with their decisions and looks.

    They lie in the slot of its configuration, so that a step and its change of split are one
    script. Every commit has a random token, by which it is recognised when it is sent again because
    its reply was lost. A step that decides something is done once `wait_replicas` replicas of the
    store have it, so that a fail-over undoes no decision.
    """

    def __init__(self, client: Redis, environment: str, *, wait_replicas: int = 0) -> None:
        self._client = client
        self._wait_replicas = wait_replicas
        self._keys = ExperimentKeys(environment)
        self._config = ConfigKeys(environment)

    async def load(self) -> Mapping[ExperimentKey, Experiment]:
        """Return all experiments in the order of their keys, as of one moment.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            found: Any = await self._client.hgetall(self._keys.experiments)
        read = (_experiment(found[key]) for key in sorted(found))
        return {each.plan.key: each for each in read}

    async def get(self, key: ExperimentKey) -> Experiment:
        """Return one experiment.

        Raises:
            NotFound: there is none by this key.
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            found: Any = await self._client.hget(self._keys.experiments, key)
            if found is None:
                known: Any = await self._client.hkeys(self._keys.experiments)
                raise NotFound(f"experiment {unknown(key, sorted(map(bytes.decode, known)))}")
        return _experiment(found)

    async def commit(self, commit: ExperimentCommit) -> None:
        """Store a step: experiment, split, decisions and look, all or nothing.

        Raises:
            VersionConflict, RevisionConflict, FencedOff, InUse: nothing was changed.
            StoreUnavailable: no reply arrived: it may or may not be stored. Load to see.
        """
        experiment, token = commit.experiment, new_token()
        plan, own = experiment.plan, self._keys
        keys = [
            *self._config.commit,
            own.experiments,
            own.versions,
            own.holders,
            own.outbox,
            own.count,
            own.changes,
            own.leader,
            own.decisions(plan.key),
            own.looks(plan.key),
        ]
        change = [] if commit.change is None else commit_arguments(commit.change, token)
        arguments: list[bytes | str | int] = [
            plan.key,
            experiment.version,
            token,
            "" if commit.fence is None else commit.fence,
            plan.flag,
            int(experiment.state.status in ACTIVE),
            experiment_to_message(experiment).SerializeToString(),
            "" if commit.revision is None else commit.revision,
            KEPT_CHANGES,
            KEPT_LOOKS,
            *_look(commit.seen),
            len(commit.decisions),
            *_decisions(commit),
            *change,
        ]
        replicas = self._wait_replicas if commit.decisions else 0
        done, *details = await run(self._client, _COMMIT, keys, arguments, replicas=replicas)
        if done != b"done":
            raise _refusal(commit, done, *details)

    async def delete(self, key: ExperimentKey, version: int) -> None:
        """Delete an experiment with its logs, if it stands at `version`.

        Raises:
            NotFound, VersionConflict
            StoreUnavailable: no reply arrived: it may or may not be deleted. Load to see.
        """
        own = self._keys
        keys = [own.experiments, own.versions, own.holders, own.outbox, own.count, own.changes]
        logs = [own.decisions(key), own.looks(key), own.gates(key)]
        arguments: list[bytes | str | int] = [key, version, new_token(), KEPT_CHANGES]
        done, *details = await run(self._client, _DELETE, [*keys, *logs], arguments)
        if done == b"done":
            return
        if not details[0]:
            raise NotFound(f"there is no experiment {key!r}")
        raise _other_version(key, details[0], version)

    async def decisions(
        self, key: ExperimentKey, after: int, limit: int
    ) -> Sequence[NumberedDecision]:
        """Return up to `limit` decisions with numbers above `after`, in order.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            entries: Any = await self._client.xrange(
                self._keys.decisions(key), min=f"({after}-0", count=limit
            )
        return [
            replace(_decision(fields[b"d"]), number=int(number.partition(b"-")[0]))
            for number, fields in entries
        ]

    async def looks(self, key: ExperimentKey, after_ms: int, most: int) -> Sequence[Seen]:
        """Return what looks after this time saw, by time: those that are kept.

        Of more than `most` (>= 1) some are left out evenly, but never the last one.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        found: list[bytes] = await run(
            self._client, _LOOKS, [self._keys.looks(key)], [after_ms + 1, most]
        )
        return [look_from_message(experiment_pb2.Look.FromString(each)) for each in found]

    async def changes(self) -> AsyncGenerator[ExperimentKey | None, None]:
        """Yield the key of each experiment that changes from now on; None on every idle second.

        Load after the first item, which comes at once.

        Raises:
            RevisionConflict: changes were missed, or the store was set back: load again.
            StoreUnavailable: the store can't be reached. Load again afterwards.
        """
        own = self._keys
        with store_errors(self._client):
            position = int(await self._client.get(own.count) or 0)
        yield None
        log = NumberedLog(self._client, own.count, own.changes, "the log of experiments")
        async with aclosing(log.follow(position, b"")) as entries:
            async for entry in entries:
                yield None if entry is None else ExperimentKey(entry.fields[3].decode())


def _experiment(serialized: bytes) -> Experiment:
    return experiment_from_message(experiment_pb2.Experiment.FromString(serialized))


def _decision(serialized: bytes) -> NumberedDecision:
    return decision_from_message(experiment_pb2.Decision.FromString(serialized))


def _look(seen: Seen | None) -> tuple[bytes | str, int]:
    """Return a look as the script takes it, with its time in ms."""
    if seen is None:
        return "", 0
    time_ms = int(seen.time.timestamp()) * 1_000 + seen.time.microsecond // 1_000
    return look_to_message(seen).SerializeToString(), time_ms


def _decisions(commit: ExperimentCommit) -> list[bytes | str]:
    """Return each decision, and the notifications that are to tell of it; numbers come there."""
    revision = commit.change.revision if commit.change else 0
    arguments: list[bytes | str] = []
    for decision in commit.decisions:
        message = decision_to_message(NumberedDecision(0, decision, revision))
        arguments += [message.SerializeToString(), _targets(commit.experiment.plan, decision)]
    return arguments


def _targets(plan: Plan, decision: Decision) -> str:
    return " ".join(
        str(index)
        for index, each in enumerate(plan.notifications)
        if not each.actions or decision.action in each.actions
    )


def _refusal(commit: ExperimentCommit, kind: bytes, *details: bytes | int) -> Exception:
    """Return the error for what stands against a commit."""
    plan = commit.experiment.plan
    match kind, *details:
        case b"version", int(stored):
            return _other_version(plan.key, stored, commit.experiment.version - 1)
        case b"held", bytes(holder):
            return InUse(
                f"flag {plan.flag!r} is held by experiment {holder.decode()!r}, which is active: "
                "abort it, or wait until it has ended"
            )
        case b"revision", int(revision):
            wanted = commit.change.revision - 1 if commit.change else commit.revision or 0
            return conflict(revision, wanted)
        case _:
            return FencedOff(
                f"another controller has led since token {commit.fence} was given out: "
                f"what this one decided about {plan.key!r} counts no more"
            )


def _other_version(key: ExperimentKey, stored: int, wanted: int) -> VersionConflict:
    where = f"at version {stored}" if stored else "gone"
    expected = f"not at version {wanted}" if wanted else "and was to be new"
    return VersionConflict(
        f"experiment {key!r} is {where}, {expected}: "
        "somebody changed it; read it again and repeat the change"
    )
