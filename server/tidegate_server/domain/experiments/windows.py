"""Change windows: when a treatment's share may rise."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

from tidegate_server.domain.experiments.plan import ChangeWindow, Plan

MIDNIGHT = time()


def may_rise(plan: Plan, now: datetime) -> bool:
    """Return whether shares may rise at `now`, an aware time: always, if there are no windows."""
    return not plan.change_windows or any(_is_in(each, now) for each in plan.change_windows)


def _is_in(window: ChangeWindow, now: datetime) -> bool:
    local = now.astimezone(ZoneInfo(window.zone))
    ended = window.end != MIDNIGHT and local.time() >= window.end
    return local.weekday() in window.days and local.time() >= window.start and not ended
