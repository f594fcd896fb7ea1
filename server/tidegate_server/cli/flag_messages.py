"""Flag files ↔ messages: `to_message` and `to_plain` undo each other."""

from collections.abc import Iterable, Mapping
from typing import Any

from tidegate.model import PPM
from tidegate.v1 import flag_pb2
from tidegate_server.cli.clause_messages import from_clause, from_struct, to_clauses, to_struct
from tidegate_server.cli.flag_document import FlagDocument, LayerDocument, RuleDocument
from tidegate_server.cli.shares import format_share

_DIRECTIONS: Mapping[str, "flag_pb2.Direction.ValueType"] = {
    "lower": flag_pb2.DIRECTION_LOWER_IS_BETTER,
    "higher": flag_pb2.DIRECTION_HIGHER_IS_BETTER,
    "unknown": flag_pb2.DIRECTION_UNSPECIFIED,
}
_DIRECTION_NAMES = {direction: name for name, direction in _DIRECTIONS.items()}


def to_message(document: FlagDocument) -> flag_pb2.Flag:
    """Return the flag that a file describes; without a split, the one variant gets everything."""
    return flag_pb2.Flag(
        key=document.flag,
        description=document.description,
        default_variant=document.default,
        variants=[
            flag_pb2.Variant(key=key, value=to_struct(value))
            for key, value in document.variants.items()
        ],
        split=_to_split(document.split or {next(iter(document.variants)): PPM}),
        rules=map(_to_rule, document.rules),
        overrides=[
            flag_pb2.Override(unit_id=unit_id, variant=key)
            for unit_id, key in document.overrides.items()
        ],
        killed=bool(document.killed),
        salt=document.salt or "",
        metrics=[
            flag_pb2.Metric(outcome=outcome, direction=_DIRECTIONS[metric.direction])
            for outcome, metric in document.metrics.items()
        ],
        enrolment_ppm=None if document.enrolment == PPM else document.enrolment,
        layer=_to_layer(document.layer),
        prerequisites=[
            flag_pb2.Prerequisite(flag_key=each.flag, variants=each.in_)
            for each in document.prerequisites
        ],
        unit_attribute=document.unit or "",
        ignores_holdout=document.ignore_holdout,
    )


def to_plain(flag: flag_pb2.Flag) -> dict[str, Any]:
    """Return what a file that describes this flag says, as plain data; defaults are left out."""
    plain: dict[str, Any] = {
        "flag": flag.key,
        "description": flag.description,
        "default": flag.default_variant,
        "variants": {variant.key: from_struct(variant.value) for variant in flag.variants},
        "split": _from_split(flag.split),
        "enrolment": format_share(flag.enrolment_ppm) if flag.HasField("enrolment_ppm") else "",
        "layer": _from_layer(flag),
        "unit": flag.unit_attribute,
        "prerequisites": [
            {"flag": each.flag_key, "in": list(each.variants)} for each in flag.prerequisites
        ],
        "rules": list(map(_from_rule, flag.rules)),
        "overrides": {override.unit_id: override.variant for override in flag.overrides},
        "killed": flag.killed,
        "ignore_holdout": flag.ignores_holdout,
        "salt": "" if flag.salt == flag.key else flag.salt,
        "metrics": {
            metric.outcome: {"direction": _DIRECTION_NAMES[metric.direction]}
            for metric in flag.metrics
        },
    }
    return {key: value for key, value in plain.items() if value}


def _to_rule(document: RuleDocument) -> flag_pb2.Rule:
    rule = flag_pb2.Rule(name=document.name, clauses=to_clauses(document.when))
    if document.split is not None:
        rule.split.shares.extend(_to_split(document.split))
    elif document.serve is not None:
        rule.variant = document.serve
    return rule


def _from_rule(rule: flag_pb2.Rule) -> dict[str, Any]:
    plain = {"name": rule.name, "when": list(map(from_clause, rule.clauses))}
    if rule.HasField("split"):
        return {**plain, "split": _from_split(rule.split.shares)}
    return {**plain, "serve": rule.variant}


def _to_split(split: Mapping[str, int]) -> list[flag_pb2.SplitShare]:
    return [flag_pb2.SplitShare(variant=key, share_ppm=ppm) for key, ppm in split.items()]


def _from_split(split: Iterable[flag_pb2.SplitShare]) -> dict[str, str]:
    return {share.variant: format_share(share.share_ppm) for share in split}


def _to_layer(document: LayerDocument | None) -> flag_pb2.LayerSlot | None:
    if document is None:
        return None
    return flag_pb2.LayerSlot(layer=document.name, share_ppm=document.share)


def _from_layer(flag: flag_pb2.Flag) -> dict[str, str]:
    if not flag.HasField("layer"):
        return {}
    return {"name": flag.layer.layer, "share": format_share(flag.layer.share_ppm)}
