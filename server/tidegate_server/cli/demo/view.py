"""How the demo is shown: live on a terminal, as plain lines elsewhere."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from tidegate.v1 import report_service_pb2
from tidegate_server.cli.report_tables import show_variants
from tidegate_server.domain.checks import percent
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Decision
from tidegate_server.domain.experiments.state import ENDED, State, Status
from tidegate_server.experiment_text import status_words

_REFRESHES_PER_SECOND = 4


class View(Protocol):
    """Shows a rollout under way; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def decided(self, plan: Plan, decision: Decision) -> None:
        """Show what was decided, and why."""
        ...

    def show(self, plan: Plan, state: State, report: report_service_pb2.Report) -> None:
        """Show where the rollout stands, and what the report says now."""
        ...

    def leave(self) -> None:
        """Show that the rollout has ended."""
        ...


def new_view(console: Console) -> View:
    """Return the view that fits the console."""
    return LiveView(console) if console.is_terminal else PlainView(console)


class LiveView:
    """A progress bar over the table of variants, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            console=console,
        )
        self._task = self._progress.add_task("", total=1.0)
        self._table: RenderableType = ""
        self._live = Live(
            get_renderable=self._render,
            console=console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def decided(self, plan: Plan, decision: Decision) -> None:
        """Print it above what is redrawn."""
        self._live.console.print(_line(decision))

    def show(self, plan: Plan, state: State, report: report_service_pb2.Report) -> None:
        """Move the bar and change the table."""
        self._progress.update(self._task, completed=_done(plan, state), description=_where(state))
        self._table = show_variants(report)

    def leave(self) -> None:
        """Print the last table, which would be gone with the bar."""
        self._live.console.print(self._table)

    def _render(self) -> RenderableType:
        return Group(self._progress, self._table)


class PlainView:
    """A line for each decision, and the table at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._table: RenderableType = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is left to undo."""

    def decided(self, plan: Plan, decision: Decision) -> None:
        """Print it."""
        self._console.print(_line(decision))

    def show(self, plan: Plan, state: State, report: report_service_pb2.Report) -> None:
        """Keep the table for the end."""
        self._table = show_variants(report)

    def leave(self) -> None:
        """Print the table."""
        self._console.print(self._table)


def _line(decision: Decision) -> Text:
    """Return when what was decided, and why."""
    when = f"{decision.time:%H:%M:%S}"
    return Text(f"{when}  {decision.stage:<7} {decision.action:<12} {decision.why}")


def _where(state: State) -> str:
    return f"{status_words(state.status).text}, {percent(state.share_ppm)}"


def _done(plan: Plan, state: State) -> float:
    """Return how far a rollout is, in [0, 1]: stages are equal, and so is the watch."""
    parts = len(plan.stages) + 1
    if state.status in ENDED:
        return 1.0
    watching = state.status is Status.WATCHING
    begun = len(plan.stages) if watching else state.stage
    wanted = plan.watch if watching else plan.stages[state.stage].bake
    part = min(1.0, state.baked / wanted) if wanted else 0.0
    return (begun + part) / parts
