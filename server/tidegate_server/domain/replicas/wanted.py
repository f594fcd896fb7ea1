"""How many of a flag's replicas each variant shall have."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.model import PPM, Flag, RuleSplit, VariantKey
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import ACTIVE, IN_STAGE, stage_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a flag's replicas shall come to.

    present: shares (ppm, > 0) as traffic has them now. coming: those that replicas shall be ready
    for. base: the variant that gets what the others leave. kept: variants that keep a replica,
    whatever their share.
    """

    present: Mapping[VariantKey, int]
    coming: Mapping[VariantKey, int]
    base: VariantKey
    kept: frozenset[VariantKey] = frozenset()

    @property
    def variants(self) -> frozenset[VariantKey]:
        """The variants that want replicas now."""
        return frozenset(self.coming) | self.kept | {self.base}


def wanted_by(flag: Flag, holdout_ppm: int, experiment: Experiment | None) -> Wanted:
    """Return what a flag's split, and the experiment on it, if it is active, want of its replicas.

    A stage over replicas wants its share's replicas from the moment it is being entered; all else
    follows the split. While an experiment is active its control keeps a replica.
    """
    present = _present(flag)
    kept = _beside_the_split(flag, holdout_ppm)
    if experiment is None or experiment.state.status not in ACTIVE:
        return Wanted(present, present, _largest(flag, present), kept)
    plan, state = experiment.plan, experiment.state
    coming = present
    if not flag.killed and state.status in IN_STAGE and stage_of(plan, state).replicas:
        shares = plan.split(stage_of(plan, state).share_ppm)
        coming = {share.variant: share.ppm for share in shares if share.ppm}
    return Wanted(present, coming, plan.control, kept | {plan.control})


def counts(
    wanted: Wanted, number: int, fixed: Mapping[VariantKey, int] | None = None
) -> dict[VariantKey, int]:
    """Return how many of `number` (>= 0) replicas each variant shall have; they add up to it.

    A variant other than the base gets its share of them, rounded up, and at least one; the base
    gets the rest, and at least one. Where that is too many, those give that have most beyond their
    share; where there are fewer replicas than variants, the smallest shares get none. fixed: how
    many can serve nothing else; no variant gets fewer.
    """
    stuck: dict[VariantKey, int] = {}
    while True:
        rest = number - sum(stuck.values())
        free = _apportion(wanted, number, rest, frozenset(stuck))
        more = {v: n for v, n in (fixed or {}).items() if v not in stuck and n > free.get(v, 0)}
        if not more:
            return {**free, **stuck}
        stuck |= more


def _apportion(
    wanted: Wanted, number: int, rest: int, without: frozenset[VariantKey]
) -> dict[VariantKey, int]:
    """Give out `rest` replicas among the variants that are not in `without`."""
    shares = {v: wanted.coming.get(v, 0) for v in wanted.variants - without}
    first = sorted(shares, key=lambda v: (v != wanted.base, -shares[v], v))[: max(0, rest)]
    if not first:
        return {}
    base, *others = first
    given = {v: max(1, replicas_for(shares[v], number)) for v in others}
    while sum(given.values()) > rest - 1:
        beyond = {v: n - shares[v] * number / PPM for v, n in given.items() if n > 1}
        given[max(beyond, key=lambda v: (beyond[v], v))] -= 1
    return {base: rest - sum(given.values()), **given}


def replicas_for(share_ppm: int, number: int) -> int:
    """Return a share of `number` replicas, rounded up."""
    return -(-share_ppm * number // PPM)


def _present(flag: Flag) -> dict[VariantKey, int]:
    if flag.killed:
        return {flag.default: PPM}
    return {share.variant: share.ppm for share in flag.split if share.ppm}


def _largest(flag: Flag, present: Mapping[VariantKey, int]) -> VariantKey:
    return max(present, key=lambda variant: (present[variant], variant == flag.default))


def _beside_the_split(flag: Flag, holdout_ppm: int) -> frozenset[VariantKey]:
    """Return the variants that units are given by something other than the split."""
    if flag.killed:
        return frozenset()
    found = {override.variant for override in flag.overrides}
    for rule in flag.rules:
        if isinstance(rule.serve, RuleSplit):
            found |= {share.variant for share in rule.serve.shares if share.ppm}
        else:
            found.add(rule.serve)
    held_out = holdout_ppm > 0 and not flag.ignores_holdout
    partial = flag.enrolment_ppm < PPM or flag.layer is not None or bool(flag.prerequisites)
    if held_out or partial:
        found.add(flag.default)
    return frozenset(found)
