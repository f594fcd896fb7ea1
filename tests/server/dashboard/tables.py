"""Tables as tests read them, and a flag with everything that a page tells of one."""

import json

from tests.server.domain.experiments.samples import MINUTE, NOW, PERCENT
from tidegate.v1 import flag_pb2
from tidegate_server.cli.flag_file import parse_flag_file
from tidegate_server.dashboard.cells import Table
from tidegate_server.dashboard.words import Zone

UTC_ZONE = Zone.named("UTC")
FLAG = parse_flag_file(
    "flag",
    """
flag: chat-model
default: v1
variants: {v1: {model: a}, v2: {model: b}}
split: {v1: 75%, v2: 25%}
enrolment: 80%
layer: {name: models, share: 50%}
unit: account
prerequisites: [{flag: gate, in: [open, wide]}]
overrides: {anna: v2}
rules:
  - name: staff
    when: [{attribute: team, in: [eval, ops]}, {attribute: age, greater: 3}]
    serve: v2
  - {name: beta, when: [{attribute: beta, in: [true]}], split: {v1: 10%, v2: 90%}}
""",
).flag


def texts(table: Table) -> list[list[str]]:
    return [[str(cell["t"]) for cell in row.cells] for row in table.rows]


def column(table: Table, title: str) -> list[str]:
    place = [each.title for each in table.columns].index(title)
    return [row[place] for row in texts(table)]


def stored(number: int = 7, **shares: int) -> flag_pb2.Flag:
    """Return the flag as a server would have it, at a revision."""
    made = flag_pb2.Flag()
    made.CopyFrom(FLAG)
    made.revision, made.phase = number, number
    if shares:
        del made.split[:]
        for name, percent in shares.items():
            made.split.add(variant=name, share_ppm=percent * PERCENT)
    made.update_time.FromDatetime(NOW + number * MINUTE)
    made.allocation.starts.append(0)
    made.allocation.variants.append("v1")
    made.layer.allocation.CopyFrom(made.allocation)
    made.rules[1].split.allocation.CopyFrom(made.allocation)
    made.salt = "chat-model"
    return made


def every_cell_is_json(table: Table) -> None:
    json.dumps(table.props())
