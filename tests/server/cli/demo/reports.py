"""Reports and ledgers made by hand."""

from collections.abc import Mapping

from tidegate.v1 import report_service_pb2
from tidegate_server.cli.demo.ledger import Ledger

Counts = Mapping[tuple[str, str], int]
"""Numbers of events by variant and outcome; "" is for exposures."""


def report_of(counts: Counts) -> report_service_pb2.Report:
    """Return a report with these counts."""
    return report_service_pb2.Report(
        flag_key="digit-model",
        control="v1",
        variants=[
            report_service_pb2.VariantReport(
                variant=variant,
                exposures=counts[variant, ""],
                outcomes=[
                    report_service_pb2.OutcomeSummary(outcome=outcome, count=count)
                    for (owner, outcome), count in counts.items()
                    if owner == variant and outcome
                ],
            )
            for variant, outcome in counts
            if not outcome
        ],
    )


def ledger_of(counts: Counts) -> Ledger:
    """Return the ledger of an application that reported these, all acknowledged."""
    return Ledger(
        requests=(),
        reported=tuple((*key, count) for key, count in counts.items() if key[1]),
        exposures={variant: n for (variant, outcome), n in counts.items() if not outcome},
        units={},
        acknowledged=sum(counts.values()),
        dropped=0,
        refused=0,
        flushed=True,
    )
