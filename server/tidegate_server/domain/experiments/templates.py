"""Plans that most need only names and metrics for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from tidegate.model import PPM
from tidegate_server.domain.experiments.plan import ZERO, AfterHold, Preflight, Stage

PERCENT = PPM // 100
HALF_HOUR, HOUR = timedelta(minutes=30), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Template:
    """What a plan has where it does not say otherwise. min_effect: of its goal."""

    stages: tuple[Stage, ...]
    min_effect: float = 0.0
    preflight: Preflight | None = None
    watch: timedelta = ZERO


TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        "gradual": Template(
            stages=(
                Stage("canary", 5 * PERCENT, HALF_HOUR),
                Stage("quarter", 25 * PERCENT, HALF_HOUR),
                Stage("half", 50 * PERCENT, HOUR),
                Stage("full", PPM),
            ),
        ),
        "ab": Template(
            stages=(Stage("test", 50 * PERCENT, min_units=1_000, decide=True),), min_effect=0.05
        ),
        "production": Template(
            stages=(
                Stage(
                    "canary",
                    5 * PERCENT,
                    HALF_HOUR,
                    min_units=300,
                    passes=3,
                    hold_limit=timedelta(hours=6),
                    after_hold=AfterHold.ROLL_BACK,
                ),
                Stage("test", 25 * PERCENT, HALF_HOUR, min_units=1_000, passes=3, decide=True),
                Stage("expand", 50 * PERCENT, HOUR, passes=3),
                Stage("full", PPM, HALF_HOUR, passes=3),
            ),
            min_effect=0.05,
            preflight=Preflight(),
            watch=HOUR,
        ),
    }
)
"""By name. `gradual`: by time and guardrails. `ab`: one test. `production`: both, and checks."""
