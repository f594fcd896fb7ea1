"""The mean per event, units being the independent observations."""

import math

import numpy as np

from tidegate_server.analysis.aggregates import Cells
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, cluster_error
from tidegate_server.analysis.moments import sample_deviation

_CONSTANT = 1e-10
"""Values that spread by less than this part of their mean are constant: their sums are not exact
enough to tell (a sum of n floats is off by up to n · 1.1e-16 of it: Higham 2002, §4.2)."""

_BALANCED = 1e-14
"""Likewise cells whose means are equal but for the rounding of one division."""


def mean_figure(cells: Cells) -> Figure | NotEstimable:
    """Return the mean per event, a ratio of totals, with its delta-method error from cells.

    The influence of cell k is (S_k - R N_k) / N, with S_k and N_k the cell's total and count and
    R = S / N. Assumes that units are independent and hashed into cells at random.
    Source: Deng, Knoblich, Lu 2018 (arXiv:1803.06336), §3.
    """
    events = int(cells.count.sum())
    if events == 0:
        return NotEstimable(Cause.NO_EVENTS)
    occupied = cells.count > 0
    if int(occupied.sum()) < 2:
        return NotEstimable(Cause.TOO_FEW_CELLS)
    deviation = sample_deviation(cells)
    if isinstance(deviation, NotEstimable):
        return deviation
    mean = float(cells.total.sum()) / events
    influence = (cells.total - mean * cells.count) / events
    error = cluster_error(influence, occupied)
    if deviation <= _CONSTANT * abs(mean) or error <= _BALANCED * math.hypot(mean, deviation):
        error, influence = 0.0, np.zeros_like(influence)
    return Figure(mean, error, error, influence, occupied, events)
