"""The rollout itself: stage after stage, as an admin would do it, watched all the while."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.v1 import report_service_pb2
from tidegate_server.cli.connection import CALL_SECONDS, Stubs
from tidegate_server.cli.demo.checks import counted
from tidegate_server.cli.demo.ledger import Ledger
from tidegate_server.cli.demo.processes import Application, Running
from tidegate_server.cli.demo.view import View
from tidegate_server.cli.flags import flag_app
from tidegate_server.cli.options import Common
from tidegate_server.cli.render import print_text

FLAG, CONTROL, TREATMENT = "digit-model", "v1", "v2"
"""The flag and the variants of examples/model_rollout/flag.yaml."""

_REFRESH_SECONDS = 1.0
_SETTLE_SECONDS = 30.0
_SETTLE_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the rollout. percent: the treatment's share of units, in (0, 100)."""

    name: str
    percent: int


STAGES = (Stage("canary", 5), Stage("test", 25), Stage("expand", 50))


class Admin:
    """Runs commands of `tidegate flag` against one server, and shows them as typed."""

    def __init__(self, server: str) -> None:
        self._common = Common(server)

    def apply(self, file: Path) -> None:
        """Create the flag of a file."""
        self._run("apply", str(file))

    def split(self, stage: Stage) -> None:
        """Give the treatment the stage's share."""
        rest = 100 - stage.percent
        self._run("split", FLAG, f"{CONTROL}={rest}", f"{TREATMENT}={stage.percent}")

    def _run(self, *words: str) -> None:
        print_text(f"$ tidegate flag {shlex.join(words)}")
        flag_app(args=list(words), obj=self._common, standalone_mode=False)


def ramp(
    admin: Admin,
    application: Application,
    stack: Running,
    stubs: Stubs,
    view: View,
    *,
    stages: Sequence[Stage],
    seconds: float,
) -> None:
    """Go through the stages, `seconds` each; the first one's split is there already.

    Raises:
        ProcessFailed: the application or the stack ended.
    """
    began = time.monotonic()
    for number, stage in enumerate(stages):
        if number:
            admin.split(stage)
        view.enter(f"{stage.name}: {TREATMENT} at {stage.percent} %")
        end = began + (number + 1) * seconds
        while (left := end - time.monotonic()) > 0:
            application.watch(min(left, _REFRESH_SECONDS))
            stack.check()
            done = (time.monotonic() - began) / (len(stages) * seconds)
            view.show(min(1.0, done), fetch(stubs))
        view.leave()


def settle(stubs: Stubs, ledger: Ledger) -> report_service_pb2.Report:
    """Return the report once it counts what the ledger does, or after half a minute as it is."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        report = fetch(stubs)
        if counted(report) == ledger.events() or time.monotonic() > deadline:
            return report
        time.sleep(_SETTLE_POLL_SECONDS)


def fetch(stubs: Stubs) -> report_service_pb2.Report:
    """Return the report on the flag, over all phases."""
    request = report_service_pb2.GetReportRequest(flag_key=FLAG, control=CONTROL)
    return stubs.reports.GetReport(request, timeout=CALL_SECONDS).report
