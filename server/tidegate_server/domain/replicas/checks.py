"""What a replica may say of itself."""

import math
import re
from urllib.parse import urlsplit

from tidegate_server.domain.checks import check_key, check_length
from tidegate_server.domain.replicas.replica import Replica, Report
from tidegate_server.errors import InvalidField

LONGEST_ADDRESS = 500
LONGEST_PROBLEM = 1_000
MOST_CAPACITY = 1_000_000
MOST_LOAD = 1e9

_ADDRESS = re.compile(r"\S+")


def check_replica(replica: Replica) -> None:
    """Check what a replica registers.

    Raises:
        InvalidField: names the first field that breaks a rule.
    """
    check_key("replica.id", replica.id)
    check_key("replica.flag_key", replica.flag)
    check_length("replica.address", replica.address, 1, LONGEST_ADDRESS)
    if not _ADDRESS.fullmatch(replica.address):
        raise InvalidField(
            "replica.address",
            f"{replica.address!r} has spaces: give what applications connect to, "
            "such as 10.0.0.7:8000",
        )
    if not 0 <= replica.capacity <= MOST_CAPACITY:
        raise InvalidField(
            "replica.capacity",
            f"{replica.capacity:,} is out of range: give 1 to {MOST_CAPACITY:,} requests, "
            "or 0 for not known",
        )
    _check_driver(replica)
    check_report(replica.report, "replica.")
    if replica.fixed and not replica.variant:
        raise InvalidField(
            "replica.variant", "is empty, but a fixed replica never changes: name what it serves"
        )


def check_report(report: Report, path: str = "") -> None:
    """Check what a replica says of itself; `path` leads to the report's fields.

    Raises:
        InvalidField: names the first field that breaks a rule.
    """
    if report.variant:
        check_key(f"{path}variant", report.variant)
    if not 0 <= report.load <= MOST_LOAD or not math.isfinite(report.load):
        raise InvalidField(f"{path}load", f"{report.load} is out of range: give 0 or more")
    check_length(f"{path}problem", report.problem, 0, LONGEST_PROBLEM)


def _check_driver(replica: Replica) -> None:
    url, field = replica.driver_url, "replica.driver_url"
    if not url:
        return
    check_length(field, url, 1, LONGEST_ADDRESS)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidField(field, f"{url!r} is not an http or https URL; give one, or leave it out")
    if replica.fixed:
        raise InvalidField(field, "is given, but a fixed replica never changes: leave one out")
