"""Imports gRPC so that a process can use it after it was forked. Must come before other imports.

On Linux gRPC polls with epoll, by a design whose state a forked child inherits broken: its calls
are never answered, or it is aborted (measured with grpcio 1.78 to 1.85, while the parent had a
stream open). With poll(2) every child works; releases before 1.81 also need the poller that is the
default since then. Both are chosen by environment variables, which gRPC reads once, when it is
imported. What the user chose by them stays. With GRPC_ENABLE_FORK_SUPPORT set, to whatever value,
children were seen to hang or to be aborted.
"""

import os
import re
import sys
from collections.abc import Mapping
from importlib.metadata import version

FIRST_RELEASE_WITH_POLLER = (1, 81)

STRATEGY, EXPERIMENTS, FORK_SUPPORT = (
    "GRPC_POLL_STRATEGY",
    "GRPC_EXPERIMENTS",
    "GRPC_ENABLE_FORK_SUPPORT",
)
POLLER = "event_engine_poller_for_python"


def wanted_environment(
    release: str, environment: Mapping[str, str], *, platform: str = sys.platform
) -> dict[str, str]:
    """Return the variables that gRPC of a release, such as "1.78.2", should be imported with."""
    if not platform.startswith("linux"):
        return {}
    wanted = {STRATEGY: environment.get(STRATEGY, "poll")}
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers and (int(numbers[1]), int(numbers[2])) < FIRST_RELEASE_WITH_POLLER:
        chosen = environment.get(EXPERIMENTS)
        wanted[EXPERIMENTS] = ",".join(filter(None, (chosen, POLLER, "event_engine_fork")))
    return wanted


def works_after_fork(
    release: str, environment: Mapping[str, str], *, platform: str = sys.platform
) -> bool:
    """Return whether gRPC of a release that was imported with these variables survives a fork."""
    if environment.get(FORK_SUPPORT):
        return False
    wanted = wanted_environment(release, {}, platform=platform)
    return all(
        set(value.split(",")) <= set(environment.get(name, "").split(","))
        for name, value in wanted.items()
    )


def _import_grpc() -> bool:
    release = version("grpcio")
    if "grpc" in sys.modules:
        return works_after_fork(release, os.environ)
    before = dict(os.environ)
    wanted = wanted_environment(release, before)
    os.environ.update(wanted)
    try:
        import grpc  # noqa: F401 - while the variables are set
    finally:
        for name in wanted:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
    return works_after_fork(release, {**before, **wanted})


WORKS_AFTER_FORK = _import_grpc()
"""False where a child of this process must not use gRPC: it would hang, or be aborted."""
