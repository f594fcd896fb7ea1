"""What `tidegate demo` does."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from tidegate.v1 import report_service_pb2
from tidegate_server.cli.connection import connect
from tidegate_server.cli.demo.checks import Check, check_events, check_units
from tidegate_server.cli.demo.ledger import Ledger, read_ledger
from tidegate_server.cli.demo.processes import Stack, start_application, start_stack
from tidegate_server.cli.demo.rollouts import (
    FLAG,
    ROLLOUTS,
    Ended,
    apply_flag,
    roll_out,
    settle,
)
from tidegate_server.cli.demo.view import new_view
from tidegate_server.cli.render import new_console
from tidegate_server.cli.report_tables import show_report
from tidegate_server.errors import ConfigurationError

_PROGRAM = Path("examples") / "model_rollout"
_BASE = Path(".tidegate")
_PACKAGE = Path(__file__).parents[2]
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_demo(*, keep: bool, port: int, speed: float, rate: float) -> None:
    """Run the demo; `tidegate demo --help` tells what the options mean.

    Raises:
        typer.Exit: something did not come out as it must.
        TidegateServerError: it could not be run.
    """
    console = new_console()
    program = _find_program()
    with _interruptible(), _folder(keep=keep) as folder:
        console.print(f"starting Tidegate in {folder}")
        with start_stack(folder, f"127.0.0.1:{port}", tied=not keep) as stack:
            address = stack.wait_ready()
            for each in stack.pages():
                console.print(Text(f"  pages   {each}"), soft_wrap=True)  # a link must stay whole
            ended, ledger, report = _roll_out(console, stack, address, program, folder, speed, rate)
            moves = [move for each in ended for move in each.moves()]
            checks = (
                *(each.check for each in ended),
                check_units(ledger.units, moves),
                check_events(ledger, report),
            )
            _print_work(console, ledger)
            console.print(show_report(report))
            _print_checks(console, checks)
            if keep:
                _print_how_to_go_on(console, address, stack.pid, folder)
    if not all(check.holds for check in checks):
        raise typer.Exit(1)


def _roll_out(
    console: Console,
    stack: Stack,
    address: str,
    program: Path,
    folder: Path,
    speed: float,
    rate: float,
) -> tuple[list[Ended], Ledger, report_service_pb2.Report]:
    """Run the rollouts one after the other; return how they ended, and both accounts of them."""
    with stack.explained():
        apply_flag(address, program / "flag.yaml")
    result = folder / "ledger.json"
    console.print("training three versions of the model, and starting the application")
    ended = []
    with (
        stack.explained(),
        start_application(program, folder, address, rate=rate, ledger=result) as application,
        connect(address) as stubs,
    ):
        application.wait_serving()
        for each in ROLLOUTS:
            console.print(Text(f"\n{each.file}, with clocks {speed:g} times as fast", style="bold"))
            with new_view(console) as view:
                ended.append(
                    roll_out(each, program, speed, stubs, view, application, stack.running)
                )
        application.finish()
        ledger = read_ledger(result)
        return ended, ledger, settle(stubs, ledger)


def _print_work(console: Console, ledger: Ledger) -> None:
    total = sum(count for _, _, count in ledger.requests)
    phases = len({phase for phase, _, _ in ledger.requests})
    console.print(
        Text(f"served {total:,} requests of {len(ledger.units):,} units in {phases} phases\n")
    )


def _print_checks(console: Console, checks: tuple[Check, ...]) -> None:
    console.print(Text("\nWhat came of it", style="bold"))
    for check in checks:
        mark, style = ("✓", "green") if check.holds else ("✗", "bold red")
        console.print(Text(f"  {mark} {check.text}", style=style))


def _print_how_to_go_on(console: Console, address: str, pid: int, folder: Path) -> None:
    lines = (
        "\nThe stack is still running.",
        f"  look at it:   tidegate --server {address} report {FLAG}",
        f"                tidegate --server {address} experiment log digits-v3",
        f"  stop it:      kill {pid}",
        f"  then remove:  rm -r {folder}",
    )
    for line in lines:
        console.print(Text(line))


def _find_program() -> Path:
    """Return the directory of the application: in the installed package, or in the checkout.

    Raises:
        ConfigurationError: it is not there, or the demo's libraries are not.
    """
    if find_spec("sklearn") is None:
        raise ConfigurationError(
            "the demo trains its models with scikit-learn, which is not installed: "
            "pip install 'tidegate[demo]'"
        )
    for root in (_PACKAGE, *_PACKAGE.parents[:2]):
        if (root / _PROGRAM / "flag.yaml").is_file():
            return root / _PROGRAM
    raise ConfigurationError(
        f"the demo's application {_PROGRAM} is missing beside {_PACKAGE}: install Tidegate anew"
    )


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    """Make the demo's own folder, and remove it: at the end, or with `keep` only on failure.

    Raises:
        ConfigurationError: it can't be made.
    """
    is_new = not _BASE.exists()
    try:
        _BASE.mkdir(mode=0o700, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="demo-", dir=_BASE)).absolute()
    except OSError as error:
        raise ConfigurationError(
            f"{_BASE.absolute()}: cannot be made ({error.strerror}); run the demo in a directory "
            "that can be written to"
        ) from error
    done = False
    try:
        yield folder
        done = True
    finally:
        if not (keep and done):
            shutil.rmtree(folder)
            if is_new and not any(_BASE.iterdir()):
                _BASE.rmdir()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let the first signal to stop end the block in good order, and ignore those after it."""

    def interrupt(number: int, _frame: object) -> NoReturn:
        for other in _STOP_SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt(f"{signal.Signals(number).name}: stopping")

    before = {number: signal.signal(number, interrupt) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
