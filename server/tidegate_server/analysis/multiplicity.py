"""Several comparisons at once: p-values adjusted so that the promise holds for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.figures import Figure


class Adjustment(StrEnum):
    """How p-values are adjusted.

    The first five bound the chance of any false alarm: BONFERRONI and HOLM (1979) whatever the
    dependence, SIDAK (1967) and HOLM_SIDAK for independent or positively dependent tests, HOCHBERG
    (1988) likewise. The last two bound the expected share of false alarms among all alarms:
    BENJAMINI_HOCHBERG (1995) for independent or positively dependent tests, BENJAMINI_YEKUTIELI
    (2001, theorem 1.3) whatever the dependence.
    """

    BONFERRONI = "bonferroni"
    SIDAK = "sidak"
    HOLM = "holm"
    HOLM_SIDAK = "holm-sidak"
    HOCHBERG = "hochberg"
    BENJAMINI_HOCHBERG = "benjamini-hochberg"
    BENJAMINI_YEKUTIELI = "benjamini-yekutieli"


_STEP_DOWN = (Adjustment.HOLM, Adjustment.HOLM_SIDAK)


def adjust_p_values(p_values: Sequence[float], method: Adjustment) -> tuple[float, ...]:
    """Return the adjusted p-values in the order given: reject where they are at most alpha.

    p_values: each in [0, 1]. Step-down methods take the running greatest from the smallest p on,
    step-up methods the running least from the largest on (Wright 1992, Biometrics 48, 1005-1013,
    for adjusted p-values in all of them).

    Raises:
        ValueError: a p-value is not in [0, 1].
    """
    given = np.asarray(p_values, np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"p_values: must be in [0, 1], not {list(p_values)}")
    if given.size == 0:
        return ()
    order = np.argsort(given, kind="stable")
    scaled = _scaled(given[order], method)
    if method in _STEP_DOWN:
        scaled = np.maximum.accumulate(scaled)
    elif method not in (Adjustment.BONFERRONI, Adjustment.SIDAK):
        scaled = np.minimum.accumulate(scaled[::-1])[::-1]
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(scaled, 1.0)
    return tuple(adjusted.tolist())


def _scaled(p: NDArray[np.float64], method: Adjustment) -> NDArray[np.float64]:
    """Return each rising p-value as if it were tested alone at its step."""
    number = p.size
    left = np.arange(number, 0, -1)
    rank = np.arange(1, number + 1)
    scaled: NDArray[np.float64]
    match method:
        case Adjustment.BONFERRONI:
            scaled = p * number
        case Adjustment.SIDAK:
            scaled = _sidak(p, np.full(number, number))
        case Adjustment.HOLM_SIDAK:
            scaled = _sidak(p, left)
        case Adjustment.HOLM | Adjustment.HOCHBERG:
            scaled = p * left
        case Adjustment.BENJAMINI_HOCHBERG:
            scaled = p * number / rank
        case Adjustment.BENJAMINI_YEKUTIELI:
            scaled = p * number / rank * (1 / rank).sum()
    return scaled


def _sidak(p: NDArray[np.float64], tests: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 1 - (1 - p)^tests, without loss for tiny p."""
    with np.errstate(divide="ignore"):
        scaled: NDArray[np.float64] = -np.expm1(tests * np.log1p(-p))
    return scaled


@dataclass(frozen=True, slots=True)
class FamilyMember:
    """One treatment of several against the control.

    estimate: its interval holds at once with those of all others (Bonferroni); its p-value is raw.
    adjusted_p_value: in (0, 1], within the family of those that are estimable.
    """

    estimate: Estimate | NotEstimable
    adjusted_p_value: float | NotEstimable


def compare_all(
    control: Figure,
    treatments: Mapping[str, Figure],
    *,
    method: Adjustment = Adjustment.HOLM,
    alpha: float = 0.05,
) -> dict[str, FamilyMember]:
    """Compare several treatments with one control. treatments: by variant, at least one."""
    confidence = 1 - alpha / len(treatments)
    estimates = {
        key: compare(control, each, confidence=confidence) for key, each in treatments.items()
    }
    known = {k: e.p_value for k, e in estimates.items() if not isinstance(e, NotEstimable)}
    adjusted = dict(zip(known, adjust_p_values(list(known.values()), method), strict=True))
    return {
        key: FamilyMember(each, each if isinstance(each, NotEstimable) else adjusted[key])
        for key, each in estimates.items()
    }
