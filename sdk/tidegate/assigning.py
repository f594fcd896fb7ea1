"""Assigns units from the snapshot of the moment: at once where nothing is out of the ordinary.

For each flag there is a plan, made when a snapshot is first asked for the flag: by it, a unit costs
one hash and one comparison. All else goes the careful way, which gives the same.
"""

import logging
from bisect import bisect_right
from collections.abc import Callable, Mapping
from time import time
from typing import Any, Protocol, TypeAlias

import mmh3

from tidegate.assignment import Assignment, Grant
from tidegate.attributes import randomised_unit
from tidegate.bucketing import LONGEST_UNIT_ID, encodes, plain_unit_id
from tidegate.compiled_flag import CompiledFlag, Path
from tidegate.evaluation import NO_PHASE, Chooser, CompiledSnapshot, Given
from tidegate.log_limit import LogLimit
from tidegate.model import BUCKETS, FlagKey, Reason, VariantKey
from tidegate.recorder import Recorder, shown
from tidegate.sessions import Sessions

log = logging.getLogger("tidegate")

More: TypeAlias = Callable[[str, str, Mapping[str, Any] | None], Grant | None]
"""From what is hashed, the unit and its attributes to the grant; None: go the careful way."""

Plan: TypeAlias = tuple[str, int, Grant | None, Grant | None, More | None, bool]
"""How to assign the units of a flag; a tuple, since it is taken apart with every assignment.

What is hashed ahead of the unit; the first bucket of the second range; the grants of the first and
of the second range; what is asked instead, where more than two ranges decide; whether exposures are
recorded.
"""

_FITS = (False, *(True for _ in range(LONGEST_UNIT_ID)))
"""Whether an id of so many characters is valid: a look here is faster than two comparisons."""

_NOBODY: set[str] = set()
"""The units that are known to be exposed, where that is of no interest; stays empty."""

_hash32 = mmh3.hash


class Current(Protocol):
    """Where `assign` finds the best snapshot known."""

    @property
    def compiled(self) -> CompiledSnapshot:
        """That snapshot."""
        ...


class Assigner:
    """Assigns units to variants. A subclass sets the attributes."""

    _current: Current
    _recorder: Recorder
    _sessions: Sessions
    _limited_log: LogLimit
    _exposing: bool

    def assign(  # noqa: C901 - a call of each part would take longer than the part
        self,
        flag: str,
        unit_id: str,
        attributes: Mapping[str, Any] | None = None,
        default: Any = None,
        session_id: str | None = None,
    ) -> Assignment:
        """Return the variant of a unit. Never raises; the assignment's `reason` says what decided.

        With a `session_id`, a conversation of the unit keeps the variant that a split gave it, and
        its phase, while the split changes. Its pin breaks when the flag is killed or deleted, when
        the variant has no share left, and when it was not used for `session_ttl`. Pins live in this
        process, 100,000 at most.

        Args:
            flag: key of the flag.
            unit_id: who is randomised: a string of 1 to 1,000 characters.
            attributes: what targeting rules look at: strings, numbers and booleans by name.
            default: the assignment's value where there is no variant to give.
            session_id: names a session of the unit: a string of 1 to 1,000 characters.
        """
        # All in one place, since calls would take longer than what is called. Arguments that must
        # be given by name would take 25 ns more.
        try:
            prefix, second, below, above, more, exposing = self._current.compiled.plans[flag]
            hashed = prefix + unit_id
            exact = unit_id.__class__ is str  # type() would take longer
            if exact and session_id is None and (hashed.isascii() or encodes(hashed)):
                if more is None:
                    grant = below if _hash32(hashed, 0, False) < second else above
                else:
                    grant = more(hashed, unit_id, attributes)
                    if grant is None:
                        return self._assign_carefully(flag, unit_id, attributes, default)
                if exposing:
                    seen = grant.seen
                    if unit_id not in seen:
                        if not _FITS[len(unit_id)]:
                            return self._assign_carefully(flag, unit_id, attributes, default)
                        seen.add(unit_id)
                        recorder = self._recorder
                        if not recorder.add((grant.given, "", unit_id, time(), 1.0)):
                            seen.discard(unit_id)
                        recorder.room = room = recorder.room - 1
                        if room <= 0:
                            recorder.forget()
                elif not _FITS[len(unit_id)]:
                    return self._assign_carefully(flag, unit_id, attributes, default)
                assignment = Assignment()
                assignment.grant = grant
                assignment.unit_id = unit_id
                return assignment
        except Exception:  # noqa: BLE001, S110 - the careful way tells what is wrong
            pass
        return self._assign_carefully(flag, unit_id, attributes, default, session_id)

    def _assign_carefully(
        self,
        flag: str,
        unit_id: Any,
        attributes: Mapping[str, Any] | None,
        default: Any,
        session_id: object = None,
    ) -> Assignment:
        """Assign in all cases; make a plan for the next time."""
        compiled, chosen = self._current.compiled, None
        try:
            chosen = given = self._chooser(compiled, flag)(unit_id, attributes)
            if session_id is not None or given.unit_attribute:
                unit_id, given = self._settled(compiled, unit_id, attributes, session_id, given)
            if not given.variant:
                given = self._without_variant(given, unit_id, default)
            elif self._exposing:
                self._recorder.expose(given, unit_id)
        except Exception as error:  # noqa: BLE001 - must not reach the application
            self._limited_log.warning(
                f"{flag!r:.100}", "flag %.100r could not be evaluated", flag, error=error
            )
            given = Given(FlagKey(flag), VariantKey(""), default, Reason.ERROR, "", NO_PHASE)
        assignment = Assignment()
        if given is chosen and given.variant:
            assignment.grant = self._grant(compiled, given)
        else:
            assignment.grant = Grant(given, compiled.revision, self._recorder, _NOBODY)
        assignment.unit_id = unit_id
        return assignment

    def _chooser(self, compiled: CompiledSnapshot, flag_key: str) -> Chooser:
        """Return what evaluates a flag; make its plan."""
        flag = compiled.flag(flag_key)
        if flag is None:
            return compiled.missing(flag_key)
        if flag_key not in compiled.plans:
            compiled.plans[flag_key] = self._plan(compiled, flag)
        return flag.choose

    def _plan(self, compiled: CompiledSnapshot, flag: CompiledFlag) -> Plan:
        path = flag.path
        if path is None:
            return "", 0, None, None, self._by_flag(compiled, flag), self._exposing
        grants = [self._grant(compiled, given) for given in path.results]
        simple = not path.steps and len(grants) <= 2
        return (
            f"{path.salt}:",
            path.starts[1] if len(path.starts) > 1 else BUCKETS,
            grants[0],
            grants[-1],
            None if simple else self._by_path(compiled, path, grants),
            self._exposing,
        )

    def _by_path(self, compiled: CompiledSnapshot, path: Path, grants: list[Grant]) -> More:
        steps, unit_steps, bounds = path.steps, path.unit_steps, list(path.starts[1:])
        grant = self._grant

        def more(hashed: str, unit_id: str, attributes: Mapping[str, Any] | None) -> Grant:
            for matches, serve in steps if attributes else unit_steps:
                if matches(attributes, unit_id):  # type: ignore[arg-type]
                    return grant(compiled, serve(unit_id, attributes))
            return grants[bisect_right(bounds, _hash32(hashed, 0, False))]

        return more

    def _by_flag(self, compiled: CompiledSnapshot, flag: CompiledFlag) -> More:
        if flag.unit_attribute:
            return lambda _, __, ___: None
        return lambda _, unit, attributes: self._grant(compiled, flag.choose(unit, attributes))

    def _grant(self, compiled: CompiledSnapshot, given: Given) -> Grant:
        """Return the grant that all units share that are given the same in a snapshot."""
        grant: Grant | None = compiled.grants.get(given)
        if grant is None:
            seen = self._recorder.seen_by(given) if self._exposing else _NOBODY
            grant = Grant(given, compiled.revision, self._recorder, seen)
            compiled.grants[given] = grant
        return grant

    def _forget_plans(self) -> None:
        """Let go of the sets of units that the recorder forgot."""
        compiled = self._current.compiled
        compiled.plans.clear()
        compiled.grants.clear()

    def _settled(
        self,
        compiled: CompiledSnapshot,
        unit_id: Any,
        attributes: Mapping[str, Any] | None,
        session_id: object,
        given: Given,
    ) -> tuple[Any, Given]:
        """Return the unit that is randomised, and what it is given in its session."""
        if given.unit_attribute:
            unit_id = randomised_unit(given.unit_attribute, unit_id, attributes)
        unit = plain_unit_id(unit_id)
        if session_id is None or unit is None:
            return unit_id, given
        session = plain_unit_id(session_id)
        if session is None:
            self._limited_log.warning(
                f"session of {given.flag}",
                "flag %s: session_id must be a string of 1 to 1,000 characters, not %s; "
                "the session is not pinned",
                given.flag,
                shown(session_id),
            )
            return unit_id, given
        return unit_id, self._sessions.given(compiled.snapshot, session, unit, given)

    def _without_variant(self, given: Given, unit_id: object, default: Any) -> Given:
        if given.reason is Reason.INVALID_UNIT:
            self._limited_log.warning(
                f"unit of {given.flag}",
                "flag %s: unit_id must be a string of 1 to 1,000 characters, not %.100r",
                given.flag,
                unit_id,
            )
        return given if default is None else given.with_value(default)
