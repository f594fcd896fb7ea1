"""What a flag's page shows."""

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeAlias

from google.protobuf import json_format

from tidegate import wire
from tidegate.clause_words import asked_words
from tidegate.model import PPM, Flag, Rule, RuleSplit
from tidegate.v1 import assignment_service_pb2, flag_pb2, flag_service_pb2
from tidegate_server import report_text
from tidegate_server.dashboard import cells, charts
from tidegate_server.dashboard.api import CLIENT_NAME
from tidegate_server.dashboard.cells import Column, Row, Table
from tidegate_server.dashboard.charts import Mark
from tidegate_server.dashboard.environment import Report, Revisions, Watching
from tidegate_server.dashboard.texts import FlagTexts
from tidegate_server.dashboard.words import Zone, changed_at, split_words
from tidegate_server.domain.checks import percent
from tidegate_server.report_text import NOTHING

MOST_OVERRIDES = 20
MOST_LISTED = 30

_Step: TypeAlias = tuple[str, str, cells.Json, str]
"""What is looked at, its name, to whom it applies, what it serves."""


def variants_table(flag: flag_pb2.Flag, known: Report | None, *, all_phases: bool = False) -> Table:
    """Lay out what a report says of each variant."""
    values = {each.key: json_format.MessageToDict(each.value) for each in flag.variants}
    columns = report_text.variant_columns(known) if known else []
    return Table(
        "Variants, of all phases" if all_phases else f"Variants in phase {flag.phase}",
        [Column("variant"), *(Column(name, number=True) for name in columns), Column("value")],
        [
            Row(
                each.variant,
                [
                    cells.text(_named(each.variant, flag)),
                    *map(cells.text, report_text.variant_cells(known, each)),
                    cells.code(json.dumps(values.get(each.variant, {}), ensure_ascii=False)),
                ],
            )
            for each in known.variants
        ]
        if known
        else [],
        "Nothing is known yet of how the variants do.",
    )


def _named(variant: str, flag: flag_pb2.Flag) -> str:
    return f"{variant} (default)" if variant == flag.default_variant else variant


def marks(revisions: Revisions) -> list[Mark]:
    """Return when a flag's split or kill switch changed."""
    found = []
    for newer, older in pairwise(revisions):
        if newer.HasField("flag") and older.HasField("flag"):
            time = changed_at(newer.flag)
            if time and newer.flag.killed != older.flag.killed:
                found.append(Mark(time, "killed" if newer.flag.killed else "revived"))
            elif time and newer.flag.phase != older.flag.phase:
                found.append(Mark(time, "split"))
    return found


def shares_chart(revisions: Revisions | None, end: datetime, zone: Zone) -> charts.Options:
    """Return the split over time, until `end`; of a killed flag, what everyone is given."""
    known = [each.flag for each in reversed(revisions or ()) if each.HasField("flag")]
    names = [variant.key for variant in known[-1].variants] if known else []
    moments: list[tuple[datetime, Sequence[float]]] = []
    for flag in known:
        time = changed_at(flag)
        shares = {share.variant: share.share_ppm / PPM for share in flag.split}
        if flag.killed:
            shares = {flag.default_variant: 1.0}
        if time is not None:
            moments.append((time, [shares.get(name, 0.0) for name in names]))
    end = max([end, *(time for time, _ in moments)])
    return charts.steps_chart(names, moments, end, utc=zone.is_utc)


def reached_words(watching: Watching | None, flag: flag_pb2.Flag) -> str:
    """Say how many have the flag as it is now."""
    if watching is None:
        return "Not known yet."
    groups = _sdks(watching)
    total = sum(group.count for group in groups)
    if not total:
        return f"No SDK is connected to the server process {watching.process}."
    have = sum(group.count for group in groups if group.revision >= flag.revision)
    return (
        f"{have:,} of {total:,} connected SDKs were sent this flag as it is now (revision "
        f"{flag.revision:,} or later). Of the server process {watching.process} alone; each knows "
        "its own."
    )


def _sdks(watching: Watching | None) -> list[assignment_service_pb2.WatcherGroup]:
    """Return those who watch, without dashboards."""
    groups = watching.groups if watching else ()
    return [group for group in groups if group.client_name != CLIENT_NAME]


def watchers_table(watching: Watching | None, flag: flag_pb2.Flag) -> Table:
    """Lay out who was sent which revision."""
    return Table(
        "Connected SDKs",
        [
            Column("client"),
            Column("SDKs", number=True),
            Column("revision sent", number=True),
            Column("has this flag"),
        ],
        [
            Row(
                f"{group.client_name}/{group.revision}",
                [
                    cells.text(group.client_name or "(no name)"),
                    cells.text(f"{group.count:,}"),
                    cells.text(f"{group.revision:,}"),
                    cells.text("as it is now" if group.revision >= flag.revision else "older"),
                ],
            )
            for group in _sdks(watching)[:MOST_LISTED]
        ],
        "Nobody is connected. An application connects with",
        'tidegate.Client("host:port", client_name="web")',
    )


def targeting_table(message: flag_pb2.Flag) -> Table:
    """Lay out what decides, in the order in which it is looked at."""
    flag = wire.flag_from_message(message)
    steps = list(_steps(flag))
    return Table(
        "Targeting",
        [Column("step"), Column("name"), Column("applies to"), Column("serves")],
        [
            Row(str(number), [cells.text(step), cells.text(name), applies, cells.text(serves)])
            for number, (step, name, applies, serves) in enumerate(steps)
        ],
    )


def _steps(flag: Flag) -> list[_Step]:
    text, default = cells.text, f"{flag.default} (default)"
    killed = text("everyone" if flag.killed else "is off")
    steps: list[_Step] = [("kill switch", "", killed, default)]
    if flag.overrides:
        units = [f"{each.unit_id} → {each.variant}" for each in flag.overrides[:MOST_OVERRIDES]]
        more = len(flag.overrides) - len(units)
        units += [f"and {more:,} more"] if more else []
        steps.append(("overrides", "", cells.lines(units), "as listed"))
    for each in flag.prerequisites:
        names = " or ".join(each.variants)
        steps.append(("prerequisite", each.flag, text(f"units it does not give {names}"), default))
    holdout = "is ignored" if flag.ignores_holdout else "units in the global holdout"
    steps.append(("holdout", "", text(holdout), default))
    if flag.layer is not None:
        share = percent(flag.layer.ppm)
        steps.append(("layer", flag.layer.layer, text(f"units outside its {share}"), default))
    for rule in flag.rules:
        when = cells.lines([asked_words(clause) for clause in rule.clauses])
        steps.append(("rule", rule.name, when, _served(rule)))
    if flag.enrolment_ppm < PPM:
        out = percent(PPM - flag.enrolment_ppm)
        steps.append(("enrolment", "", text(f"{out} of the units"), default))
    by = f", by {flag.unit_attribute}" if flag.unit_attribute else ""
    shares = ", ".join(f"{share.variant} {percent(share.ppm)}" for share in flag.split)
    steps.append(("split", "", text(f"all others{by}"), shares))
    return steps


def changes_table(revisions: Revisions, texts: FlagTexts, zone: Zone) -> Table:
    """Lay out the last changes of a flag, the latest first."""
    listed = list(revisions[:MOST_LISTED])
    return Table(
        "Changes of this flag",
        [Column("revision", number=True), Column("when"), Column("split"), Column("what changed")],
        [
            Row(
                str(each.revision),
                [
                    cells.text(f"{each.revision:,}"),
                    cells.moment(changed_at(each.flag) if each.HasField("flag") else None, zone),
                    cells.text(split_words(list(each.flag.split)) or NOTHING),
                    cells.lines(_changed(each, older, texts)),
                ],
            )
            for each, older in zip(listed, [*revisions[1 : MOST_LISTED + 1], None], strict=False)
        ],
    )


def _served(rule: Rule) -> str:
    if isinstance(rule.serve, RuleSplit):
        return ", ".join(f"{share.variant} {percent(share.ppm)}" for share in rule.serve.shares)
    return rule.serve


def _changed(
    newer: flag_service_pb2.FlagRevision,
    older: flag_service_pb2.FlagRevision | None,
    texts: FlagTexts,
) -> list[str]:
    if not newer.HasField("flag"):
        return ["deleted"]
    if older is None:
        return ["the first that is known"]
    if not older.HasField("flag"):
        return ["created again"]
    return list(texts.changes(older.flag, newer.flag)) or ["nothing"]
