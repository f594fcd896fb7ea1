"""Plans that most need only names and metrics for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

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


PATIENCE = timedelta(days=3)
"""How long a stage may stand still before it rolls back: a weekend without traffic is shorter."""


def _stage(name: str, percent: int, bake: timedelta = ZERO, **given: Any) -> Stage:
    """Return a stage that ends by itself, whatever becomes of its evidence."""
    limit: dict[str, Any] = {"hold_limit": PATIENCE, "after_hold": AfterHold.ROLL_BACK}
    return Stage(name, percent * PERCENT, bake, **limit | given)


TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        "gradual": Template(
            stages=(
                _stage("canary", 5, HALF_HOUR),
                _stage("quarter", 25, HALF_HOUR),
                _stage("half", 50, HOUR),
                _stage("full", 100),
            ),
        ),
        "ab": Template(
            stages=(
                _stage("test", 50, min_units=1_000, decide=True, hold_limit=timedelta(days=14)),
            ),
            min_effect=0.05,
        ),
        "production": Template(
            stages=(
                _stage(
                    "canary", 5, HALF_HOUR, min_units=300, passes=3, hold_limit=timedelta(hours=6)
                ),
                _stage(
                    "test",
                    25,
                    HALF_HOUR,
                    min_units=1_000,
                    passes=3,
                    decide=True,
                    hold_limit=timedelta(days=7),
                ),
                _stage("expand", 50, HOUR, passes=3),
                _stage("full", 100, HALF_HOUR, passes=3),
            ),
            min_effect=0.05,
            preflight=Preflight(),
            watch=HOUR,
        ),
    }
)
"""By name. `gradual`: by time and guardrails. `ab`: one test. `production`: both, and checks."""
