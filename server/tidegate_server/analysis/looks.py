"""The ways to look at an experiment; apart, so that options can name them without scipy."""

from enum import StrEnum


class Analysis(StrEnum):
    """How the experiment is looked at.

    FIXED: once, at the end. GROUP_SEQUENTIAL: at some planned looks, with O'Brien-Fleming-like
    spending. ALWAYS_VALID: whenever one likes.
    """

    FIXED = "fixed"
    GROUP_SEQUENTIAL = "group-sequential"
    ALWAYS_VALID = "always-valid"
