"""Calls of FlagService that several commands make."""

import grpc

from tidegate.v1 import flag_pb2, flag_service_pb2
from tidegate_server.cli.connection import CALL_SECONDS, Stubs, status_of


def get_flag(stubs: Stubs, key: str) -> flag_pb2.Flag:
    """Return a flag; the server refuses what it does not have."""
    request = flag_service_pb2.GetFlagRequest(key=key)
    return stubs.flags.GetFlag(request, timeout=CALL_SECONDS).flag


def find_flag(stubs: Stubs, key: str) -> flag_pb2.Flag | None:
    """Return a flag, or None if there is none by this key."""
    try:
        return get_flag(stubs, key)
    except grpc.RpcError as error:
        if status_of(error)[0] is grpc.StatusCode.NOT_FOUND:
            return None
        raise
