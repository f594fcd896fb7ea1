import pytest

from tidegate_server.errors import ServerBusy
from tidegate_server.rpc.byte_limit import ByteLimit


def test_no_more_than_the_limit_is_under_way() -> None:
    limit = ByteLimit(100)
    with limit.hold(60), limit.hold(40):
        with pytest.raises(ServerBusy, match="under way") as failure, limit.hold(1):
            pass
        assert failure.value.retry_after == 0.2
    with limit.hold(60), limit.hold(40):
        pass


def test_what_failed_is_no_longer_under_way() -> None:
    limit = ByteLimit(100)
    for _ in range(3):
        with pytest.raises(KeyError), limit.hold(90):
            raise KeyError


def test_a_refused_call_takes_no_room() -> None:
    limit = ByteLimit(100)
    with limit.hold(60):
        for _ in range(3):
            with pytest.raises(ServerBusy), limit.hold(60):
                pass
        with limit.hold(40):
            pass


def test_a_single_call_finds_room_however_large() -> None:
    with ByteLimit(100).hold(1_000):
        pass
