"""Shares of a split as people write them: percent, read as exact decimals."""

import re
from collections.abc import Mapping
from decimal import Decimal

from tidegate.model import PPM
from tidegate_server.domain.checks import percent

_NUMBER = re.compile(r"\s*\+?([0-9]{1,20}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})\s*%?\s*")
_PPM_PER_PERCENT = PPM // 100


def parse_share(text: str) -> int:
    """Read a share such as 75, 75% or 12.5 % as parts per million, in [0, PPM].

    Raises:
        ValueError: it is no percentage, is out of range, or is finer than one part per million.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a percentage: write a number such as 75% or 12.5%")
    ppm = Decimal(match[1]) * _PPM_PER_PERCENT
    if ppm > PPM:
        raise ValueError(f"{text!r} is more than the whole: a share is 0% to 100%")
    if ppm != int(ppm):
        raise ValueError(f"{text!r} is too fine: a percentage has at most 4 decimals")
    return int(ppm)


def format_share(ppm: int) -> str:
    """Write a share as flag files have it: 125_000 is 12.5%."""
    return percent(ppm).replace(" ", "")


def sum_problem(shares: Mapping[str, int]) -> str | None:
    """Say what is wrong where shares (ppm) do not add up to 100 %; None where they do."""
    total = sum(shares.values())
    if total == PPM:
        return None
    if total == _PPM_PER_PERCENT:
        return "the shares add up to 1%, not 100%: shares are percentages, write 95% for 0.95"
    step = "add" if total < PPM else "take away"
    return (
        f"the shares add up to {format_share(total)}, not 100%: "
        f"{step} {format_share(abs(PPM - total))}"
    )
