"""What tests ask of a server, by its address."""

from collections.abc import Mapping

import grpc

from tidegate.v1 import (
    flag_pb2,
    flag_service_pb2,
    flag_service_pb2_grpc,
    report_service_pb2,
    report_service_pb2_grpc,
)

SECONDS = 30.0
"""How long a call may take, the start of a server that is not there yet included."""


def apply_flag(address: str, key: str, **shares: int) -> flag_pb2.Flag:
    """Create a flag whose variants have these shares in percent; the first is the default."""
    flag = flag_pb2.Flag(
        key=key,
        variants=[flag_pb2.Variant(key=name) for name in shares],
        default_variant=next(iter(shares)),
        split=split_messages(shares),
    )
    with grpc.insecure_channel(address) as channel:
        stub = flag_service_pb2_grpc.FlagServiceStub(channel)
        request = flag_service_pb2.CreateFlagRequest(flag=flag)
        return stub.CreateFlag(request, wait_for_ready=True, timeout=SECONDS).flag


def split(address: str, key: str, **shares: int) -> flag_pb2.Flag:
    """Change a flag's split, in percent."""
    with grpc.insecure_channel(address) as channel:
        stub = flag_service_pb2_grpc.FlagServiceStub(channel)
        request = flag_service_pb2.UpdateSplitRequest(key=key, split=split_messages(shares))
        return stub.UpdateSplit(request, wait_for_ready=True, timeout=SECONDS).flag


def report(address: str, flag: str) -> report_service_pb2.Report:
    """Return the report on a flag."""
    with grpc.insecure_channel(address) as channel:
        stub = report_service_pb2_grpc.ReportServiceStub(channel)
        request = report_service_pb2.GetReportRequest(flag_key=flag)
        return stub.GetReport(request, wait_for_ready=True, timeout=SECONDS).report


def split_messages(shares: Mapping[str, int]) -> list[flag_pb2.SplitShare]:
    """Turn shares in percent into messages."""
    return [flag_pb2.SplitShare(variant=k, share_ppm=v * 10_000) for k, v in shares.items()]
