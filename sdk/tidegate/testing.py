"""A client for the tests of an application: in memory, without a server, I/O or threads.

    def test_the_new_model_is_asked() -> None:
        client = TestClient({"chat-model": ("v2", {"endpoint": "http://new"})})
        answer(client, user_id="user-1", prompt="Hello")
        assert ("chat-model", "v2", "user-1", "error", 0.0) in client.tracked

For pytest there is the fixture `tidegate_client`: an empty TestClient, to be filled by `set`.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

from tidegate.changes import FlagsChanged, changed_flags
from tidegate.client import Client, Stats, log
from tidegate.config_stream import State
from tidegate.delivery import Around
from tidegate.errors import ConfigurationError, WireError
from tidegate.evaluation import CompiledSnapshot
from tidegate.event_batch import Event
from tidegate.listeners import Listeners
from tidegate.log_limit import LogLimit
from tidegate.model import (
    PPM,
    Allocation,
    Flag,
    FlagKey,
    Phase,
    Revision,
    Snapshot,
    SplitShare,
    Variant,
    VariantKey,
    replaced,
)
from tidegate.recorder import Recorder
from tidegate.replicas.balance import KnownReplicas, Replica
from tidegate.sessions import Sessions
from tidegate.structs import json_from_struct, struct_from_json
from tidegate.token import hash_bytes

KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")

Setting: TypeAlias = str | tuple[str, Mapping[str, Any]]
"""The variant that everybody is given: its key, or its key and its value."""


class Tracked(NamedTuple):
    """An outcome that was reported."""

    flag: str
    variant: str
    unit_id: str
    name: str
    value: float


class Exposure(NamedTuple):
    """A unit that was given a variant, for the first time."""

    flag: str
    variant: str
    unit_id: str


class TestClient(Client):
    """A Client that answers from what a test sets, and keeps what is reported.

    All else is as in production: `assign`, tokens, sessions, and what is refused.
    """

    __test__ = False  # for pytest: this is no test

    def __init__(  # the client's own would connect
        self,
        flags: Mapping[str, Setting] | None = None,
        *,
        snapshot: Snapshot | None = None,
        record_exposures: bool = True,
        session_ttl: float = 3_600.0,
    ) -> None:
        """Begin with flags that give everybody one variant, or with real ones.

        Args:
            flags: the variant by flag, as for `set`.
            snapshot: flags that are evaluated as in production; those in `flags` come on top.
            record_exposures: as for Client.
            session_ttl: as for Client.

        Raises:
            ConfigurationError: as `set`.
        """
        self.address = ""
        self._state = State.READY
        self._events: list[Event] = []
        self._recorder = Recorder(self._keep, self._variants_of, self._forget_plans)
        self._sessions = Sessions(session_ttl)
        self._exposing = record_exposures
        self._limited_log = LogLimit(log)
        self._states: Listeners[State] = Listeners()
        self._changes: Listeners[FlagsChanged] = Listeners()
        self._replicas: dict[str, _SetReplicas] = {}
        self._current: _Flags = _Flags(CompiledSnapshot(snapshot or Snapshot(Revision(1))))
        for flag, setting in (flags or {}).items():
            if isinstance(setting, str):
                self.set(flag, setting)
            else:
                self.set(flag, *setting)

    def use(self, snapshot: Snapshot) -> None:
        """Evaluate these flags from now on, as in production."""
        before = self._current.compiled.snapshot
        self._current = _Flags(CompiledSnapshot(snapshot))
        self._changes.tell(FlagsChanged(changed_flags(before, snapshot), snapshot.revision))

    def set(self, flag: str, variant: str, value: Mapping[str, Any] | None = None) -> None:
        """Give everybody one variant of a flag from now on, by its split.

        Without a `value`, the variant keeps the one it has; that of a new variant is empty.

        Raises:
            ConfigurationError: a key or the value is not what a server would take.
        """
        snapshot = self._current.compiled.snapshot
        revision = Revision(snapshot.revision + 1)
        before = snapshot.flags.get(FlagKey(_key("flag", flag))) or _empty(flag)
        after = _given_to_all(before, VariantKey(_key("variant", variant)), value, revision)
        flags = replaced(snapshot.flags, after.key, after)
        self.use(replace(snapshot, revision=revision, flags=flags))

    def delete(self, flag: str) -> None:
        """Take a flag away: `assign` then gives the default and the reason FLAG_NOT_FOUND."""
        snapshot = self._current.compiled.snapshot
        flags = replaced(snapshot.flags, FlagKey(flag), None)
        self.use(replace(snapshot, revision=Revision(snapshot.revision + 1), flags=flags))

    def set_replicas(self, flag: str, by_version: Mapping[str, Collection[str]]) -> None:
        """Have these replicas of a flag take traffic from now on: addresses by variant."""
        self._replica_source(flag).known.update(
            Replica(address, address, variant)
            for variant, addresses in by_version.items()
            for address in addresses
        )

    @property
    def tracked(self) -> list[Tracked]:
        """The outcomes that were reported, in order; a unit that is not known by its hash in hex.

        Only outcomes reported by a token can be those of an unknown unit.
        """
        names = self._names()
        return [
            Tracked(what.flag, what.variant, _name(unit, names), outcome, value)
            for what, outcome, unit, _, value in self._events
            if outcome
        ]

    @property
    def exposures(self) -> list[Exposure]:
        """The exposures that were recorded, in order: one for each unit, flag and variant."""
        return [
            Exposure(what.flag, what.variant, str(unit))
            for what, outcome, unit, _, _ in self._events
            if not outcome
        ]

    def clear(self) -> None:
        """Forget what was tracked, and who was exposed."""
        self._events.clear()
        self._current = _Flags(CompiledSnapshot(self._current.compiled.snapshot))
        self._recorder = Recorder(self._keep, self._variants_of, self._forget_plans)

    @property
    def state(self) -> State:
        """READY, until `become` or `close`."""
        return self._state

    def become(self, state: State) -> None:
        """Be in another state, as if the server went away (STALE) or came back (READY)."""
        if state is not self._state:
            self._state = state
            self._states.tell(state)

    @property
    def snapshot_age(self) -> float | None:
        """Always 0: a test's flags are as they are."""
        return 0.0

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Return at once whether the state is READY or STALE."""
        return self._state in (State.READY, State.STALE)

    async def ready(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as Client's
        """Return at once whether the state is READY or STALE."""
        return self.wait_ready()

    def on_state_change(self, callback: Callable[[State], object]) -> Callable[[], None]:
        """Call `callback` with each new state; return what ends that."""
        return self._states.add(callback)

    def on_change(self, callback: Callable[[FlagsChanged], object]) -> Callable[[], None]:
        """Call `callback` after each change of flags; return what ends that."""
        return self._changes.add(callback)

    def flush(self, timeout: float | None = None) -> bool:
        """Return True: there is nothing to wait for."""
        return True

    def stats(self) -> Stats:
        """Return the number of events as those acknowledged, and of what was refused."""
        return Stats(
            queued=0, acknowledged=len(self._events), dropped=0, refused=self._recorder.refused
        )

    def close(self, timeout: float = 5.0) -> None:
        """Be CLOSED; what was tracked can be read on."""
        self.become(State.CLOSED)

    def _replica_source(self, flag: str) -> "_SetReplicas":
        return self._replicas.setdefault(flag, _SetReplicas())

    def _around_sending(self, around: Around | None) -> None:
        """Leave it: nothing is sent."""

    def _keep(self, event: Event) -> bool:
        self._events.append(event)
        return True

    def _names(self) -> dict[bytes, str]:
        units = {unit for _, _, unit, _, _ in self._events if isinstance(unit, str)}
        return {hash_bytes(unit): unit for unit in units}


class _Flags:
    """The flags of the moment."""

    def __init__(self, compiled: CompiledSnapshot) -> None:
        self.compiled = compiled


class _SetReplicas:
    """The replicas that a test set: they are always as they are."""

    asleep = False
    age = 0.0

    def __init__(self) -> None:
        self.known = KnownReplicas()

    def wake(self) -> None:
        """Do nothing: it never sleeps."""

    def wait_heard(self, timeout: float | None) -> bool:
        """Return at once: there is nothing to wait for."""
        return True


def _name(unit: str | bytes, names: Mapping[bytes, str]) -> str:
    return unit if isinstance(unit, str) else names.get(unit, unit.hex())


def _empty(key: str) -> Flag:
    """Return a flag without variants, to be given one."""
    return Flag(
        FlagKey(key), (), VariantKey(""), (), key, Allocation((), ()), Phase(1), Revision(1)
    )


def _given_to_all(
    flag: Flag, key: VariantKey, value: Mapping[str, Any] | None, revision: Revision
) -> Flag:
    """Return the flag so that nothing but its split decides, and gives everybody one variant."""
    variants = {each.key: each for each in flag.variants}
    if value is not None or key not in variants:
        variants[key] = Variant(key, _json(value or {}))
    return Flag(
        key=flag.key,
        variants=tuple(variants.values()),
        default=key,
        split=(SplitShare(key, PPM),),
        salt=flag.salt,
        allocation=Allocation((0,), (key,)),
        phase=Phase(revision),
        revision=revision,
        unit_attribute=flag.unit_attribute,
        ignores_holdout=True,
    )


def _json(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a value as it comes from a server."""
    try:
        return json_from_struct(struct_from_json(value))
    except WireError as error:
        raise ConfigurationError(str(error)) from None


def _key(name: str, key: object) -> str:
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise ConfigurationError(
            f"{name}: {key!r} is not a valid name: use 1 to 100 characters of a-z, 0-9, '.', '_' "
            "and '-', beginning with a letter or a digit"
        )
    return key
