"""What changes between two versions of a flag, as lines for people."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tidegate.model import Allocation, VariantKey
from tidegate.v1 import flag_pb2, flag_service_pb2
from tidegate_server.cli.flag_messages import to_plain
from tidegate_server.domain import allocation


def changes(before: flag_pb2.Flag, after: flag_pb2.Flag) -> list[str]:
    """Return one line for each field that differs; `after` may leave the salt to the server."""
    wanted = flag_pb2.Flag()
    wanted.CopyFrom(after)
    wanted.salt = after.salt or before.salt
    return list(differences("", _comparable(before), _comparable(wanted)))


def moves(before: flag_pb2.Flag, after: flag_pb2.Flag) -> list[flag_service_pb2.Move]:
    """Return which units changed variant between two stored versions, largest share first."""
    return [
        flag_service_pb2.Move(from_variant=move.source, to_variant=move.target, share_ppm=move.ppm)
        for move in allocation.moves(_allocation(before), _allocation(after))
    ]


def _allocation(flag: flag_pb2.Flag) -> Allocation:
    owners = tuple(map(VariantKey, flag.allocation.variants))
    return Allocation(tuple(flag.allocation.starts), owners)


def _comparable(flag: flag_pb2.Flag) -> dict[str, Any]:
    """Return a flag as plain data in which rules go by name, beside their order."""
    plain = to_plain(flag)
    rules = plain.pop("rules", [])
    plain["split"] = {share: text for share, text in plain.get("split", {}).items() if text != "0%"}
    plain["rules"] = {rule["name"]: rule for rule in rules}
    plain["order of rules"] = ", ".join(rule["name"] for rule in rules)
    plain["killed"] = flag.killed
    return plain


def differences(path: str, before: Any, after: Any) -> Iterator[str]:
    """Yield one line for each part of plain data that differs, from `path` on."""
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            inner = f"{path}.{key}" if path else str(key)
            if key not in before:
                yield f"+ {inner}: {_show(after[key])}"
            elif key not in after:
                yield f"- {inner}: {_show(before[key])}"
            else:
                yield from differences(inner, before[key], after[key])
    else:
        yield f"~ {path}: {_show(before)} → {_show(after)}"


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
