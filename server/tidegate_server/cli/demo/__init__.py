"""`tidegate demo`: real model versions rolled out, on a stack of its own."""

from typing import Annotated

import typer


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack running at the end.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the server; 0 takes any free one.")
    ] = 0,
    speed: Annotated[
        float, typer.Option(min=1, max=3_600, help="How many times as fast clocks run.")
    ] = 300.0,
    rate: Annotated[
        float, typer.Option(min=10, max=20_000, help="Requests a second sent to the models.")
    ] = 2_000.0,
) -> None:
    """Roll out two real model versions: a good one is promoted, a bad one rolled back."""
    from tidegate_server.cli.demo.command import run_demo  # loads what only the demo needs

    run_demo(keep=keep, port=port, speed=speed, rate=rate)
