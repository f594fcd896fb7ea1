"""SegmentService: administration of segments and of the global holdout."""

from tidegate import wire
from tidegate.model import Segment, SegmentKey
from tidegate.v1 import segment_pb2, segment_service_pb2, segment_service_pb2_grpc
from tidegate_server.rpc.errors import Context
from tidegate_server.rpc.pages import page
from tidegate_server.services.segments import Segments


class SegmentServicer(segment_service_pb2_grpc.SegmentServiceServicer):
    """Translates SegmentService's messages; errors become statuses in `StatusInterceptor`."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    async def CreateSegment(
        self, request: segment_service_pb2.CreateSegmentRequest, context: Context
    ) -> segment_service_pb2.CreateSegmentResponse:
        """Create a segment."""
        segment = await self._segments.create(_draft(request.segment))
        return segment_service_pb2.CreateSegmentResponse(segment=wire.segment_to_message(segment))

    async def GetSegment(
        self, request: segment_service_pb2.GetSegmentRequest, context: Context
    ) -> segment_service_pb2.GetSegmentResponse:
        """Read one segment."""
        segment = self._segments.get(SegmentKey(request.key))
        return segment_service_pb2.GetSegmentResponse(segment=wire.segment_to_message(segment))

    async def ListSegments(
        self, request: segment_service_pb2.ListSegmentsRequest, context: Context
    ) -> segment_service_pb2.ListSegmentsResponse:
        """List segments by key."""
        segments = self._segments.snapshot.segments
        keys, next_page_token = page(segments, request.page_size, request.page_token)
        return segment_service_pb2.ListSegmentsResponse(
            segments=[wire.segment_to_message(segments[key]) for key in keys],
            next_page_token=next_page_token,
        )

    async def UpdateSegment(
        self, request: segment_service_pb2.UpdateSegmentRequest, context: Context
    ) -> segment_service_pb2.UpdateSegmentResponse:
        """Replace what a segment says."""
        segment = await self._segments.update(_draft(request.segment))
        return segment_service_pb2.UpdateSegmentResponse(segment=wire.segment_to_message(segment))

    async def DeleteSegment(
        self, request: segment_service_pb2.DeleteSegmentRequest, context: Context
    ) -> segment_service_pb2.DeleteSegmentResponse:
        """Delete a segment."""
        revision = await self._segments.delete(SegmentKey(request.key), request.revision)
        return segment_service_pb2.DeleteSegmentResponse(revision=revision)

    async def GetHoldout(
        self, request: segment_service_pb2.GetHoldoutRequest, context: Context
    ) -> segment_service_pb2.GetHoldoutResponse:
        """Read the global holdout."""
        return segment_service_pb2.GetHoldoutResponse(share_ppm=self._segments.snapshot.holdout_ppm)

    async def UpdateHoldout(
        self, request: segment_service_pb2.UpdateHoldoutRequest, context: Context
    ) -> segment_service_pb2.UpdateHoldoutResponse:
        """Set the share of the global holdout."""
        revision = await self._segments.set_holdout(request.share_ppm)
        return segment_service_pb2.UpdateHoldoutResponse(
            share_ppm=request.share_ppm, revision=revision
        )


def _draft(message: segment_pb2.Segment) -> Segment:
    """Read what a client may say of a segment; fields that are output only are left out."""
    draft = segment_pb2.Segment()
    draft.CopyFrom(message)
    for field in ("create_time", "update_time"):
        draft.ClearField(field)
    return wire.segment_from_message(draft)
