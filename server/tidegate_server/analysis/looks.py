"""Words and defaults of looks; apart, so that plans and options can name them without scipy."""

from enum import StrEnum

BURN_IN = 300
"""Units in the smaller arm below which nothing is said: the asymptotics need them (design §6)."""


class Analysis(StrEnum):
    """How the experiment is looked at.

    FIXED: once, at the end. GROUP_SEQUENTIAL: at some planned looks, with O'Brien-Fleming-like
    spending. ALWAYS_VALID: whenever one likes.
    """

    FIXED = "fixed"
    GROUP_SEQUENTIAL = "group-sequential"
    ALWAYS_VALID = "always-valid"


class Verdict(StrEnum):
    """What one look says (design §1).

    BREACH: roll back. SAMPLE_RATIO_MISMATCH, OUTAGE: hold; the evidence can't be trusted, or is
    missing. NO_DATA, INSUFFICIENT: go on waiting. PASS: nothing against it, nothing decided. WIN:
    promote. LOSE: the goal can't be reached, keep the control. FLAT: the planned size is there and
    nothing was shown.
    """

    BREACH = "breach"
    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"
    OUTAGE = "outage"
    NO_DATA = "no_data"
    INSUFFICIENT = "insufficient"
    PASS = "pass"  # noqa: S105 - a verdict
    WIN = "win"
    LOSE = "lose"
    FLAT = "flat"


class EffectRule(StrEnum):
    """How the minimum effect is read.

    BOUND: the goal's lower bound exceeds it. POINT: the estimate does, and the bound exceeds 0.
    """

    BOUND = "bound"
    POINT = "point"
