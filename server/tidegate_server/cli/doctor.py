"""`tidegate doctor`: whether the store and the workers are as they should be."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from tidegate_server.cli.options import DataDirOption, EnvironmentOption
from tidegate_server.cli.render import new_console, new_table, print_text
from tidegate_server.cli.store_settings import store_settings

_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}


def doctor(
    data_dir: DataDirOption = None,
    environment: EnvironmentOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Check the store and the workers, and say what to mend; exit code 1 if something fails.

    It looks at TIDEGATE_REDIS_URL, or at the embedded Valkey of a running `tidegate up`.
    """
    from tidegate_server.bootstrap.checks import examine  # loads what other commands do without
    from tidegate_server.domain.diagnosis import Level

    findings = asyncio.run(examine(store_settings(data_dir, environment)))
    if as_json:
        print_text(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = new_table("check", "", "found", "what to do")
        for each in findings:
            level = Text(each.level, style=_STYLES[each.level])
            table.add_row(each.check, level, each.found, "" if each.level is Level.OK else each.fix)
        new_console().print(table)
    if any(finding.level is Level.FAILURE for finding in findings):
        raise typer.Exit(1)
