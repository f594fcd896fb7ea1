"""Administration of segments and of the global holdout."""

from datetime import datetime

from tidegate.model import (
    HoldoutChange,
    Revision,
    Segment,
    SegmentChange,
    SegmentKey,
    Snapshot,
)
from tidegate_server.domain import segments as rules
from tidegate_server.domain.checks import check_share, expect_revision, unknown
from tidegate_server.errors import AlreadyExists, NotFound
from tidegate_server.services.commits import Commits


class Segments:
    """Creates, reads and changes segments, and sets the holdout, as `Flags` does with flags."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    @property
    def snapshot(self) -> Snapshot:
        """All segments and the holdout, at the revision that this process has reached."""
        return self._commits.snapshot

    def get(self, key: SegmentKey) -> Segment:
        """Return a segment.

        Raises:
            NotFound: there is none by this key.
        """
        return _existing(self.snapshot, key)

    async def create(self, draft: Segment) -> Segment:
        """Store a new segment.

        Raises:
            InvalidField: the draft breaks a rule.
            AlreadyExists: there is a segment by this key.
        """

        def edit(snapshot: Snapshot, revision: Revision, now: datetime) -> SegmentChange:
            if draft.key in snapshot.segments:
                raise AlreadyExists(
                    f"segment {draft.key!r} exists: update it, or choose another key"
                )
            return SegmentChange(revision, draft.key, rules.created(draft, revision, now))

        return _segment(await self._commits.commit(edit))

    async def update(self, draft: Segment) -> Segment:
        """Replace what a segment says. A draft's revision other than 0 must be the segment's.

        Raises:
            InvalidField: the draft breaks a rule.
            NotFound, RevisionConflict
        """

        def edit(snapshot: Snapshot, revision: Revision, now: datetime) -> SegmentChange:
            current = _existing(snapshot, draft.key)
            return SegmentChange(revision, draft.key, rules.updated(current, draft, revision, now))

        return _segment(await self._commits.commit(edit))

    async def delete(self, key: SegmentKey, revision: int = 0) -> Revision:
        """Delete a segment; return the revision that did it.

        Raises:
            InUse: a flag names it.
            NotFound, RevisionConflict
        """

        def edit(snapshot: Snapshot, next_revision: Revision, _: datetime) -> SegmentChange:
            expect_revision(_existing(snapshot, key), revision)
            rules.check_unneeded(key, snapshot.flags)
            return SegmentChange(next_revision, key, None)

        return (await self._commits.commit(edit)).revision

    async def set_holdout(self, ppm: int) -> Revision:
        """Set the share of the global holdout; return the revision that did it.

        Raises:
            InvalidField: it is no share.
        """
        check_share("share_ppm", ppm)

        def edit(_: Snapshot, revision: Revision, __: datetime) -> HoldoutChange:
            return HoldoutChange(revision, ppm)

        return (await self._commits.commit(edit)).revision


def _existing(snapshot: Snapshot, key: SegmentKey) -> Segment:
    if key not in snapshot.segments:
        raise NotFound(f"segment {unknown(key, snapshot.segments)}")
    return snapshot.segments[key]


def _segment(change: SegmentChange) -> Segment:
    if change.segment is None:
        raise AssertionError(f"{change} stores no segment")
    return change.segment
