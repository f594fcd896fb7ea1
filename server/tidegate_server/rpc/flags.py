"""FlagService: administration of flags."""

from collections.abc import Sequence

from tidegate import wire
from tidegate.model import Flag, FlagKey
from tidegate.v1 import flag_pb2, flag_service_pb2, flag_service_pb2_grpc
from tidegate_server.domain.allocation import Move
from tidegate_server.domain.flags import split_moves
from tidegate_server.errors import InvalidField
from tidegate_server.rpc.errors import Context
from tidegate_server.services.flags import Flags

DEFAULT_PAGE, LONGEST_PAGE = 100, 1_000


class FlagServicer(flag_service_pb2_grpc.FlagServiceServicer):
    """Translates FlagService's messages; errors become statuses in `StatusInterceptor`."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags

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
        """List flags by key; a page token is the last key of the page before."""
        if not 0 <= request.page_size <= LONGEST_PAGE:
            raise InvalidField("page_size", f"{request.page_size}; give 1 to {LONGEST_PAGE:,}")
        size = request.page_size or DEFAULT_PAGE
        snapshot = self._flags.snapshot
        keys = sorted(key for key in snapshot.flags if key > request.page_token)
        return flag_service_pb2.ListFlagsResponse(
            flags=[wire.flag_to_message(snapshot.flags[key]) for key in keys[:size]],
            next_page_token=keys[size - 1] if len(keys) > size else "",
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


def _draft(message: flag_pb2.Flag) -> Flag:
    """Read what a client may say of a flag; fields that are output only are left out."""
    draft = flag_pb2.Flag()
    draft.CopyFrom(message)
    for field in ("allocation", "phase", "create_time", "update_time"):
        draft.ClearField(field)
    return wire.flag_from_message(draft)


def _moves(moves: Sequence[Move]) -> list[flag_service_pb2.Move]:
    return [
        flag_service_pb2.Move(from_variant=move.source, to_variant=move.target, share_ppm=move.ppm)
        for move in moves
    ]
