"""A split between versions, and balancing among the replicas of one: the slow get less."""

from collections import Counter
from pathlib import Path

from tests.e2e.replicas.scene import (
    application,
    create_flag,
    model_servers,
    stack_with_replicas,
    watch_serving,
)

USERS = 400


def test_requests_follow_the_split_and_then_who_is_less_busy(tmp_path: Path) -> None:
    with stack_with_replicas(tmp_path) as stack:
        values = {"v1": {}, "v2": {"seconds": 0.02}}
        create_flag(stack.address, values, {"v1": 30, "v2": 70})
        # c takes 60 ms longer than b, which serves the same version.
        servers = model_servers(stack.address, a="v1 groups", b="v2 groups", c="v2 groups 0.06")
        with servers as running, application(stack.address) as app:
            users = [f"user-{number}" for number in range(USERS)]
            answers = app.ask_all(users, threads=8)
            assert all(each.ok and each.served == each.variant for each in answers)
            by_replica = Counter(each.replica for each in answers)
            assert 0.22 * USERS < by_replica["a"] < 0.38 * USERS
            assert by_replica["b"] > 1.5 * by_replica["c"]

            # b dies: its requests fail at once, but it does not draw those of the others.
            running["b"].process.kill()
            running["b"].process.wait()
            after = app.ask_all(users[:200], threads=8)
            failed = [each for each in after if not each.ok]
            assert {each.replica for each in failed} <= {"b"}
            assert len(failed) < 60
            watch_serving(stack.address, lambda found: found == {"v1": 1, "v2": 1})
            app.wait_replicas("v2", "c")
            assert all(each.ok for each in app.ask_all(users[:100], threads=8))
