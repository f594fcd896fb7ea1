"""FlagService: administration of flags."""

from collections.abc import Sequence

from tidegate import wire
from tidegate.model import Flag, FlagChange, FlagKey, Revision
from tidegate.v1 import flag_pb2, flag_service_pb2, flag_service_pb2_grpc
from tidegate_server.domain.allocation import Move
from tidegate_server.domain.flags import split_moves
from tidegate_server.errors import InvalidField
from tidegate_server.rpc.errors import Context
from tidegate_server.rpc.pages import page, size_of
from tidegate_server.services.flag_history import FlagHistory
from tidegate_server.services.flags import Flags


class FlagServicer(flag_service_pb2_grpc.FlagServiceServicer):
    """Translates FlagService's messages; errors become statuses in `StatusInterceptor`."""

    def __init__(self, flags: Flags, history: FlagHistory) -> None:
        self._flags = flags
        self._history = history

    async def CreateFlag(
        self, request: flag_service_pb2.CreateFlagRequest, context: Context
    ) -> flag_service_pb2.CreateFlagResponse:
        """Create a flag."""
        flag = await self._flags.create(_draft(request.flag))
        return flag_service_pb2.CreateFlagResponse(flag=wire.flag_to_message(flag))

    async def GetFlag(
        self, request: flag_service_pb2.GetFlagRequest, context: Context
    ) -> flag_service_pb2.GetFlagResponse:
        """Read one flag."""
        flag = self._flags.get(FlagKey(request.key))
        return flag_service_pb2.GetFlagResponse(flag=wire.flag_to_message(flag))

    async def ListFlags(
        self, request: flag_service_pb2.ListFlagsRequest, context: Context
    ) -> flag_service_pb2.ListFlagsResponse:
        """List flags by key."""
        snapshot = self._flags.snapshot
        keys, next_page_token = page(snapshot.flags, request.page_size, request.page_token)
        return flag_service_pb2.ListFlagsResponse(
            flags=[wire.flag_to_message(snapshot.flags[key]) for key in keys],
            next_page_token=next_page_token,
            revision=snapshot.revision,
        )

    async def UpdateFlag(
        self, request: flag_service_pb2.UpdateFlagRequest, context: Context
    ) -> flag_service_pb2.UpdateFlagResponse:
        """Replace what a flag says."""
        flag = await self._flags.update(_draft(request.flag))
        return flag_service_pb2.UpdateFlagResponse(flag=wire.flag_to_message(flag))

    async def DeleteFlag(
        self, request: flag_service_pb2.DeleteFlagRequest, context: Context
    ) -> flag_service_pb2.DeleteFlagResponse:
        """Delete a flag."""
        revision = await self._flags.delete(FlagKey(request.key), request.revision)
        return flag_service_pb2.DeleteFlagResponse(revision=revision)

    async def UpdateSplit(
        self, request: flag_service_pb2.UpdateSplitRequest, context: Context
    ) -> flag_service_pb2.UpdateSplitResponse:
        """Change the split alone."""
        flag, moved = await self._flags.update_split(
            FlagKey(request.key), wire.split_from_messages(request.split), request.revision
        )
        return flag_service_pb2.UpdateSplitResponse(
            flag=wire.flag_to_message(flag), moves=_moves(moved)
        )

    async def PreviewSplit(
        self, request: flag_service_pb2.PreviewSplitRequest, context: Context
    ) -> flag_service_pb2.PreviewSplitResponse:
        """Tell what UpdateSplit would do."""
        flag = self._flags.get(FlagKey(request.key))
        moved = split_moves(flag, wire.split_from_messages(request.split))
        return flag_service_pb2.PreviewSplitResponse(
            moves=_moves(moved), moved_ppm=sum(move.ppm for move in moved), revision=flag.revision
        )

    async def ListFlagRevisions(
        self, request: flag_service_pb2.ListFlagRevisionsRequest, context: Context
    ) -> flag_service_pb2.ListFlagRevisionsResponse:
        """List what a flag said at its revisions."""
        after = _revision(request.page_token) if request.page_token else None
        size = size_of(request.page_size)
        found, more = await self._history.revisions(FlagKey(request.key), after, size)
        return flag_service_pb2.ListFlagRevisionsResponse(
            revisions=map(_flag_revision, found),
            next_page_token=str(found[-1].revision) if more else "",
        )


def _revision(token: str) -> Revision:
    if not (token.isascii() and token.isdigit()):
        raise InvalidField("page_token", f"{token!r} is none: give next_page_token as it came")
    return Revision(int(token))


def _flag_revision(change: FlagChange) -> flag_service_pb2.FlagRevision:
    flag = None if change.flag is None else wire.flag_to_message(change.flag)
    return flag_service_pb2.FlagRevision(revision=change.revision, flag=flag)


def _draft(message: flag_pb2.Flag) -> Flag:
    """Read what a client may say of a flag; fields that are output only are left out."""
    draft = flag_pb2.Flag()
    draft.CopyFrom(message)
    for field in ("allocation", "phase", "create_time", "update_time"):
        draft.ClearField(field)
    for rule in draft.rules:
        if rule.HasField("split"):
            rule.split.ClearField("allocation")
    if draft.HasField("layer"):
        draft.layer.ClearField("allocation")
    return wire.flag_from_message(draft)


def _moves(moves: Sequence[Move]) -> list[flag_service_pb2.Move]:
    return [
        flag_service_pb2.Move(from_variant=move.source, to_variant=move.target, share_ppm=move.ppm)
        for move in moves
    ]
