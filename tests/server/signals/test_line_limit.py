from tidegate_server.signals.line_limit import MOST_LINES, LineLimit


def test_each_kind_has_its_lines_in_each_second_and_says_what_was_left_out() -> None:
    now = 100.0
    limit = LineLimit(lambda: now)
    assert [limit.left_out("a") for _ in range(MOST_LINES)] == [0] * MOST_LINES
    assert [limit.left_out("a") for _ in range(7)] == [None] * 7
    assert limit.left_out("b") == 0
    now = 100.9
    assert limit.left_out("a") is None
    now = 105.0
    assert [limit.left_out("a"), limit.left_out("a")] == [8, 0]
    now = 106.0
    assert limit.left_out("a") == 0
