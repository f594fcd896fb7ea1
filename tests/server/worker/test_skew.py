from structlog.testing import capture_logs

from tidegate_server.domain.events import Shard
from tidegate_server.worker.skew import SkewLog


def test_skew_is_told_once_a_minute_with_the_largest() -> None:
    seconds = 0.0
    skew = SkewLog(Shard(3), lambda: seconds)
    with capture_logs() as logs:
        skew.note(0, 59_000)
        assert logs == []
        skew.note(2, 90_000)
        skew.note(5, 70_000)
        seconds = 59.0
        skew.note(1, 3_600_000)
        skew.note(0, 0)
        seconds = 61.0
        skew.note(0, 0)
        seconds = 200.0
        skew.note(0, 0)
    told = [
        (each["event"], each["shard"], each["events"], each["largest_seconds"]) for each in logs
    ]
    assert told == [("clock_skew", 3, 2, 90.0), ("clock_skew", 3, 6, 3_600.0)]
    assert {each["log_level"] for each in logs} == {"warning"}
