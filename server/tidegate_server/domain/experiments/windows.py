"""Change windows: when a treatment's share may rise."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

from tidegate.model import PPM
from tidegate_server.domain.experiments.plan import ChangeWindow, Plan, Stage
from tidegate_server.domain.experiments.state import State, Status, stage_of

MIDNIGHT = time()


def may_rise(plan: Plan, now: datetime) -> bool:
    """Return whether shares may rise at `now`, an aware time: always, if there are no windows."""
    return not plan.change_windows or any(_is_in(each, now) for each in plan.change_windows)


def promotes(plan: Plan, stage: Stage, share_ppm: int) -> bool:
    """Return whether leaving a stage gives the treatment everything, which it has not yet.

    share_ppm: the treatment's, as it is.
    """
    return stage is plan.stages[-1] and not stage.approval and share_ppm < PPM


def waits_for_window(plan: Plan, state: State, share_ppm: int, now: datetime) -> bool:
    """Return whether a stage's share, or the promotion behind the last, has to wait for a window.

    share_ppm: the treatment's, as it is.
    """
    stage = stage_of(plan, state)
    if state.status is Status.ENTERING:
        rises = stage.share_ppm > share_ppm
    else:
        baked = state.status in (Status.OBSERVING, Status.DECIDING) and state.baked >= stage.bake
        rises = baked and promotes(plan, stage, share_ppm)
    return rises and not may_rise(plan, now)


def _is_in(window: ChangeWindow, now: datetime) -> bool:
    local = now.astimezone(ZoneInfo(window.zone))
    ended = window.end != MIDNIGHT and local.time() >= window.end
    return local.weekday() in window.days and local.time() >= window.start and not ended
