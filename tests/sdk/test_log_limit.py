import logging

import pytest

from tidegate.log_limit import MOST_KEYS, LogLimit

log = logging.getLogger("tidegate.tests")


def test_one_record_for_each_subject_and_interval(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    limit = LogLimit(log, 60, clock=lambda: now[0])
    for number in range(3):
        limit.warning("a", "a %d", number)
        limit.warning("b", "b %d", number)
    now[0] = 60.0
    limit.warning("a", "a %d", 3, error=ValueError("cause"))
    assert [record.getMessage() for record in caplog.records] == ["a 0", "b 0", "a 3"]
    assert "ValueError: cause" in caplog.text


def test_it_remembers_a_bounded_number_of_subjects() -> None:
    limit = LogLimit(log)
    for number in range(MOST_KEYS + 10):
        limit.warning(str(number), "x")
    assert len(limit._next) == 10
