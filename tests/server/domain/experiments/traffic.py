"""Requests of users on a flag, folded as the worker folds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from tests.server.analysis.simulation import requests, users
from tests.server.domain.experiments.samples import NOW
from tidegate.model import (
    PPM,
    Allocation,
    Direction,
    Flag,
    FlagKey,
    Metric,
    Phase,
    Revision,
    SplitShare,
    Variant,
    VariantKey,
)
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.windows import Resolution, Windows, merge_windows
from tidegate_server.domain.events import Arm, Events, Series
from tidegate_server.worker.fold import fold, fold_windows

KEY = FlagKey("chat-model")
V1, V2 = VariantKey("v1"), VariantKey("v2")


def flag(share_ppm: int, phase: int = 1) -> Flag:
    """The flag whose treatment v2 has this share."""
    return Flag(
        key=KEY,
        variants=(Variant(V1, {}), Variant(V2, {})),
        default=V1,
        split=(SplitShare(V1, PPM - share_ppm), SplitShare(V2, share_ppm)),
        salt="chat-model",
        allocation=Allocation((0,), (V1,)),
        phase=Phase(phase),
        revision=Revision(phase),
        metrics=(Metric("tokens", Direction.LOWER),),
    )


@dataclass(frozen=True, slots=True)
class Version:
    """What users of a variant meet. latency: a factor. errors: chance of each request."""

    latency: float = 1.0
    errors: float = 0.02
    rating: float = 4.0


@dataclass
class Traffic:
    """What has happened to the flag, in shards whose aggregates are merged when they are read."""

    rng: np.random.Generator
    flag: Flag
    versions: Mapping[VariantKey, Version] = field(
        default_factory=lambda: {V1: Version(), V2: Version()}
    )
    now: datetime = NOW
    per_user: int = 5
    arms: dict[Arm, ArmAggregate] = field(default_factory=dict)
    windows: dict[Resolution, dict[Arm, Windows]] = field(default_factory=dict)

    def split(self, share_ppm: int) -> None:
        """Change the split: a phase begins."""
        self.flag = flag(share_ppm, self.flag.phase + 1)

    def come(self, number: int, passed: timedelta) -> None:
        """Have so many users come while time passes, each with its requests."""
        began, self.now = self.now, self.now + passed
        treated = self.rng.binomial(number, self.flag.split[1].ppm / PPM)
        for variant, units in ((V1, number - treated), (V2, int(treated))):
            if units:
                self.record(self.visit(variant, units, began))

    def visit(self, variant: VariantKey, number: int, began: datetime) -> Events:
        """Return what users of a variant do since `began`."""
        version = self.versions[variant]
        who = users(self.rng, number)
        unit_hash, level = requests(self.rng, who, self.per_user)
        columns = {
            "": (who.unit_hash, np.ones(number)),
            "latency_ms": (unit_hash, 50 * version.latency * level),
            "error": (unit_hash, self.rng.random(unit_hash.size) < version.errors),
            "rating": (who.unit_hash, self.rng.normal(version.rating, 1.0, number)),
        }
        return self.events(variant, columns, began)

    def events(
        self,
        variant: VariantKey,
        columns: Mapping[str, tuple[np.ndarray, np.ndarray]],
        began: datetime,
        *,
        outside_split: bool = False,
        phase: int = 0,
    ) -> Events:
        """Return events by outcome, as unit hashes and values, at random times since `began`."""
        arm = Arm(KEY, Phase(phase or self.flag.phase), variant, outside_split)
        sizes = [hashes.size for hashes, _ in columns.values()]
        first, last = (round(each.timestamp() * 1000) for each in (began, self.now))
        return Events(
            tuple(Series(arm, outcome) for outcome in columns),
            np.repeat(np.arange(len(columns)), sizes),
            np.concatenate([hashes for hashes, _ in columns.values()]),
            self.rng.integers(first, last, sum(sizes), endpoint=True),
            np.concatenate([values for _, values in columns.values()]).astype(np.float64),
            {},
        )

    def record(self, events: Events) -> None:
        """Fold events."""
        self.arms |= fold(events, self.arms)
        for (arm, resolution), added in fold_windows(events).items():
            of = self.windows.setdefault(resolution, {})
            of[arm] = merge_windows([of[arm], added]) if arm in of else added


def hashes(rng: np.random.Generator, number: int) -> np.ndarray:
    """Return hashes of units that have not been seen."""
    return rng.integers(0, 2**64, number, dtype=np.uint64)


def moment(milliseconds: int) -> datetime:
    """Return a time as a datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
