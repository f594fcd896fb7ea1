"""The rollouts of the demo: experiments that the controller runs, watched all the while."""

import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tidegate.v1 import experiment_pb2, experiment_service_pb2, report_service_pb2
from tidegate_server.analysis.decision import Verdict
from tidegate_server.cli.connection import CALL_SECONDS, Stubs
from tidegate_server.cli.demo.checks import Check, counted
from tidegate_server.cli.demo.ledger import Ledger
from tidegate_server.cli.demo.processes import Application, Running
from tidegate_server.cli.demo.view import View
from tidegate_server.cli.experiment_file import read_experiment_file
from tidegate_server.cli.flags import flag_app
from tidegate_server.cli.options import Common
from tidegate_server.cli.render import print_text
from tidegate_server.domain.experiments.accelerate import accelerated
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Decision
from tidegate_server.domain.experiments.state import ENDED, State, Status
from tidegate_server.errors import TidegateServerError
from tidegate_server.experiment_text import status_words
from tidegate_server.wire.experiments import (
    decision_from_message,
    experiment_from_message,
    plan_to_message,
)

FLAG = "digit-model"
ACTOR = "tidegate demo"

_REFRESH_SECONDS = 1.0
_SETTLE_SECONDS = 30.0
_SETTLE_POLL_SECONDS = 0.2
_LONGEST_SECONDS = 300.0


class RolloutStuck(TidegateServerError):  # noqa: N818 - an outcome, as ProcessFailed
    """A rollout did not end; the message says where it stands."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """An experiment of the demo: its file in the application's directory, and how it must end."""

    file: str
    ending: Status


ROLLOUTS = (
    Rollout("digits-v2.yaml", Status.SUCCEEDED),
    Rollout("digits-v3.yaml", Status.ROLLED_BACK),
)
"""A better version, and one with a mistake."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A rollout that has ended, with its whole log."""

    rollout: Rollout
    plan: Plan
    state: State
    log: tuple[Decision, ...]

    @property
    def check(self) -> Check:
        """Whether it ended as it must, and why it did."""
        ending = status_words(self.state.status).text
        shown = [each.why for each in self.log if each.verdict is Verdict.WIN]
        text = f"{self.plan.treatment} {ending}: {'; '.join([*shown[:1], self.state.reason])}"
        if self.state.status is self.rollout.ending:
            return Check(True, text)
        wanted = status_words(self.rollout.ending).text
        return Check(False, f"{text}; it should have {wanted}")

    def moves(self) -> Iterator[tuple[str, str]]:
        """Yield from which variant to which units may have gone."""
        yield self.plan.control, self.plan.treatment
        if self.rollout.ending is not Status.SUCCEEDED:
            yield self.plan.treatment, self.plan.control


def apply_flag(server: str, file: Path) -> None:
    """Create the flag of a file, as an admin would, and show the command as typed."""
    words = ("apply", str(file))
    print_text(f"$ tidegate flag {shlex.join(words)}")
    flag_app(args=list(words), obj=Common(server), standalone_mode=False)


def roll_out(
    rollout: Rollout,
    program: Path,
    speed: float,
    stubs: Stubs,
    view: View,
    application: Application,
    stack: Running,
) -> Ended:
    """Start an experiment whose clocks run `speed` times as fast; watch it to its end.

    Raises:
        ProcessFailed: the application or the stack ended.
        RolloutStuck: it takes too long.
    """
    plan = accelerated(read_experiment_file(program / rollout.file).plan, speed)
    _start(stubs, plan)
    log: list[Decision] = []
    deadline = time.monotonic() + _LONGEST_SECONDS
    while True:
        application.watch(_REFRESH_SECONDS)
        stack.check()
        state = _state(stubs, plan)
        for decision in _decisions(stubs, plan, after=len(log)):
            log.append(decision)
            view.decided(plan, decision)
        view.show(plan, state, fetch(stubs))
        if state.status in ENDED:
            view.leave()
            return Ended(rollout, plan, state, tuple(log))
        if time.monotonic() > deadline:
            raise RolloutStuck(
                f"{plan.key} has not ended after {_LONGEST_SECONDS:.0f} s; it is {state.status}: "
                f"{state.reason}"
            )


def _start(stubs: Stubs, plan: Plan) -> None:
    stubs.experiments.CreateExperiment(
        experiment_service_pb2.CreateExperimentRequest(plan=plan_to_message(plan)),
        timeout=CALL_SECONDS,
    )
    stubs.experiments.StartExperiment(
        experiment_service_pb2.StartExperimentRequest(key=plan.key, actor=ACTOR),
        timeout=CALL_SECONDS,
    )


def _state(stubs: Stubs, plan: Plan) -> State:
    request = experiment_service_pb2.GetExperimentRequest(key=plan.key)
    found: experiment_pb2.Experiment = stubs.experiments.GetExperiment(
        request, timeout=CALL_SECONDS
    ).experiment
    return experiment_from_message(found).state


def _decisions(stubs: Stubs, plan: Plan, after: int) -> Iterator[Decision]:
    request = experiment_service_pb2.ListDecisionsRequest(key=plan.key, after=after)
    for message in stubs.experiments.ListDecisions(request, timeout=CALL_SECONDS).decisions:
        yield decision_from_message(message).decision


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
    request = report_service_pb2.GetReportRequest(flag_key=FLAG)
    return stubs.reports.GetReport(request, timeout=CALL_SECONDS).report
