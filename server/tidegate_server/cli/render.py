"""How flags and shares are shown."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidegate.v1 import flag_pb2, flag_service_pb2
from tidegate_server.cli.flag_messages import to_plain
from tidegate_server.domain.checks import percent

_WIDTH_WITHOUT_TERMINAL = 200


def new_console() -> Console:
    """Return a console on standard output: without a terminal, so wide that nothing is cut."""
    if sys.stdout.isatty():
        return Console()
    return Console(width=_WIDTH_WITHOUT_TERMINAL)


def print_text(text: str) -> None:
    """Print text as it is, at once, for programs to read."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def new_table(*columns: str, numbers: Sequence[str] = (), title: str | None = None) -> Table:
    """Return an empty table; the columns in `numbers` are aligned to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


def show_split(split: Iterable[flag_pb2.SplitShare]) -> str:
    """Write a split on one line: v1 95 %, v2 5 %."""
    return ", ".join(f"{share.variant} {percent(share.share_ppm)}" for share in split)


def show_flag(flag: flag_pb2.Flag) -> RenderableType:
    """Lay out one flag for people."""
    plain = to_plain(flag)
    head = Table.grid(padding=(0, 2))
    head.add_row("flag", Text(flag.key, style="bold"))
    if flag.description:
        head.add_row("description", Text(flag.description))
    head.add_row("revision", f"{flag.revision} (phase {flag.phase})")
    if flag.killed:
        head.add_row("killed", Text("yes: everyone is given the default", style="bold red"))
    for name, text in _placement(plain).items():
        head.add_row(name, Text(text))
    if flag.salt != flag.key:
        head.add_row("salt", Text(flag.salt))
    return Group(head, _variants(flag, plain["variants"]), *_details(plain))


def _placement(plain: dict[str, Any]) -> dict[str, str]:
    """Say which units can take part at all."""
    lines = {
        "enrolment": f"{plain['enrolment']} of the units" if "enrolment" in plain else "",
        "unit": f"the attribute {plain['unit']!r}" if "unit" in plain else "",
        "holdout": "ignored: held-out units take part" if "ignore_holdout" in plain else "",
        "prerequisites": " and ".join(
            f"{each['flag']} gives {' or '.join(each['in'])}"
            for each in plain.get("prerequisites", [])
        ),
    }
    if "layer" in plain:
        lines["layer"] = f"{plain['layer']['share']} of {plain['layer']['name']}"
    return {name: text for name, text in lines.items() if text}


def _variants(flag: flag_pb2.Flag, values: dict[str, object]) -> Table:
    shares = {share.variant: share.share_ppm for share in flag.split}
    table = new_table("variant", "share", "value", numbers=["share"])
    for key, value in values.items():
        name = f"{key} (default)" if key == flag.default_variant else key
        table.add_row(Text(name), percent(shares.get(key, 0)), Text(_json(value)))
    return table


def _details(plain: dict[str, Any]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    rules = plain.get("rules")
    if isinstance(rules, list):
        table = new_table("rule", "when", "serves")
        for rule in rules:
            when = " and ".join(map(_json, rule["when"]))
            table.add_row(Text(rule["name"]), Text(when), Text(_served(rule)))
        parts.append(table)
    overrides = plain.get("overrides")
    if isinstance(overrides, dict):
        table = new_table("unit", "given")
        for unit_id, variant in overrides.items():
            table.add_row(Text(unit_id), Text(variant))
        parts.append(table)
    metrics = plain.get("metrics")
    if isinstance(metrics, dict):
        table = new_table("metric", "better is")
        for outcome, metric in metrics.items():
            table.add_row(Text(outcome), Text(metric["direction"]))
        parts.append(table)
    return parts


def _served(rule: dict[str, Any]) -> str:
    split = rule.get("split", {})
    return rule.get("serve") or ", ".join(f"{key} {share}" for key, share in split.items())


def show_flags(flags: Sequence[flag_pb2.Flag]) -> RenderableType:
    """Lay out a list of flags."""
    table = new_table(
        "flag", "split", "default", "rules", "state", "revision", numbers=["rules", "revision"]
    )
    for flag in flags:
        state = Text("killed", style="bold red") if flag.killed else Text("on")
        table.add_row(
            Text(flag.key),
            Text(show_split(flag.split)),
            Text(flag.default_variant),
            str(len(flag.rules)),
            state,
            str(flag.revision),
        )
    return table


def show_moves(moves: Sequence[flag_service_pb2.Move], *, verb: str) -> str:
    """Say which units change variant: `verb` is "move" or "would move"."""
    total = sum(move.share_ppm for move in moves)
    if not total:
        return f"no unit {verb}s" if verb == "move" else "no unit would move"
    lines = [f"{percent(total)} of the units {verb}:"]
    lines += [
        f"  {move.from_variant} → {move.to_variant}  {percent(move.share_ppm)}" for move in moves
    ]
    return "\n".join(lines)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
