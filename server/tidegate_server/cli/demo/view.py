"""How the demo is shown: live on a terminal, as plain lines elsewhere."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tidegate.v1 import report_service_pb2
from tidegate_server.cli.report_tables import show_variants

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

    def enter(self, stage: str) -> None:
        """Show that a stage begins."""
        ...

    def show(self, done: float, report: report_service_pb2.Report) -> None:
        """Show how far the whole run is, in [0, 1], and what the report says now."""
        ...

    def leave(self) -> None:
        """Show that the stage ends."""
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
            TimeRemainingColumn(),
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

    def enter(self, stage: str) -> None:
        """Name the stage beside the bar."""
        self._progress.update(self._task, description=stage)

    def show(self, done: float, report: report_service_pb2.Report) -> None:
        """Move the bar and change the table."""
        self._progress.update(self._task, completed=done)
        self._table = show_variants(report)

    def leave(self) -> None:
        """Leave the table standing: the next stage goes on from it."""

    def _render(self) -> RenderableType:
        return Group(self._progress, self._table)


class PlainView:
    """A line when a stage begins, and the table when it ends."""

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

    def enter(self, stage: str) -> None:
        """Print the stage's name."""
        self._console.print(stage)

    def show(self, done: float, report: report_service_pb2.Report) -> None:
        """Keep the table for the end of the stage."""
        self._table = show_variants(report)

    def leave(self) -> None:
        """Print the table."""
        self._console.print(self._table)
