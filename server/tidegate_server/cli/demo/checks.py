"""What the demo promises, checked: the application's ledger against Tidegate's report."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tidegate.v1 import report_service_pb2
from tidegate_server.cli.demo.ledger import EXPOSURE, Ledger

_EXAMPLES = 5
"""Most differences that a message lists."""


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, whether it holds, and the figures that show it."""

    holds: bool
    text: str


def check_units(
    units: Mapping[str, Sequence[tuple[int, str]]], moves: Sequence[tuple[str, str]]
) -> Check:
    """Check that units changed variant only as rollouts moved them, each time at a new revision.

    units: each unit's (revision, variant), sorted. moves: from which variant to which, in the order
    of the rollouts; a unit that was away meanwhile may have gone through several.
    """
    reached = _reached(moves)
    moved = 0
    wrong: list[str] = []
    for unit, history in units.items():
        for (earlier, before), (later, after) in pairwise(history):
            if before == after:
                continue
            if (before, after) in reached and earlier < later:
                moved += 1
            else:
                wrong.append(
                    f"{unit} was given {before} at revision {earlier}, {after} at revision {later}"
                )
    figures = f"{len(units):,} units watched, {moved:,} moves, {len(wrong):,} otherwise"
    if not units:
        return Check(False, "no unit was watched: the application served nobody")
    if wrong:
        return Check(False, f"units changed variant as they must not: {figures}{_list(wrong)}")
    allowed = ", ".join(f"{before} to {after}" for before, after in moves)
    return Check(True, f"no unit changed variant except from {allowed}: {figures}")


def _reached(moves: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return from which variant to which one or several moves, each after the other, lead."""
    reached: set[tuple[str, str]] = set()
    for source, target in moves:
        reached |= {(first, target) for first, last in reached if last == source}
        reached.add((source, target))
    return reached


def check_events(ledger: Ledger, report: report_service_pb2.Report) -> Check:
    """Check that every event reported was acknowledged, and is in the report once."""
    reported, aggregated = ledger.events(), counted(report)
    wrong = [
        f"{variant} {outcome or 'exposures'}: reported {reported[variant, outcome]:,}, "
        f"aggregated {aggregated[variant, outcome]:,}"
        for variant, outcome in sorted(reported.keys() | aggregated.keys())
        if reported[variant, outcome] != aggregated[variant, outcome]
    ]
    total = reported.total()
    if not total:
        return Check(False, "no event was reported: the application served nobody")
    if wrong or total != ledger.acknowledged or ledger.dropped or ledger.refused:
        return Check(
            False,
            f"not every event was counted once: reported {total:,}, acknowledged "
            f"{ledger.acknowledged:,}, dropped {ledger.dropped:,}, refused {ledger.refused:,}, "
            f"aggregated {aggregated.total():,}{_list(wrong)}",
        )
    return Check(
        True,
        f"every event reported was counted once: reported = acknowledged = aggregated = {total:,}",
    )


def counted(report: report_service_pb2.Report) -> Counter[tuple[str, str]]:
    """Return the number of events in a report, by variant and outcome."""
    counts: Counter[tuple[str, str]] = Counter()
    for variant in report.variants:
        counts[variant.variant, EXPOSURE] += variant.exposures
        for outcome in variant.outcomes:
            counts[variant.variant, outcome.outcome] += outcome.count
    return counts


def _list(problems: Iterable[str]) -> str:
    shown = [*problems]
    rest = len(shown) - _EXAMPLES
    lines = shown[:_EXAMPLES] + ([f"and {rest:,} more"] if rest > 0 else [])
    return "".join(f"\n  {line}" for line in lines)
