from dataclasses import replace

from tests.server.domain.experiments.samples import PLAN
from tests.server.storage.samples import flag
from tidegate.model import FlagKey, Phase, Revision, Snapshot, SplitShare, VariantKey
from tidegate_server.domain.experiments.look import FlagSeen, flag_seen

FLAG = replace(flag(), phase=Phase(7))


def snapshot(found: object) -> Snapshot:
    return Snapshot(Revision(9), {FlagKey("chat-model"): found})  # type: ignore[dict-item]


def test_a_flag_is_seen_as_it_stands() -> None:
    assert flag_seen(PLAN, snapshot(FLAG)) == FlagSeen(250_000, 750_000, phase=7)
    assert flag_seen(PLAN, snapshot(replace(FLAG, killed=True))).killed


def test_a_variant_without_a_share_has_zero() -> None:
    alone = replace(FLAG, split=(SplitShare(VariantKey("v1"), 1_000_000),))
    assert flag_seen(PLAN, snapshot(alone)) == FlagSeen(1_000_000, 0, phase=7)


def test_what_is_gone_is_said() -> None:
    empty = Snapshot(Revision(1))
    assert flag_seen(PLAN, empty) == FlagSeen(0, 0, gone="there is no flag 'chat-model'")
    without = snapshot(replace(FLAG, variants=FLAG.variants[:1]))
    assert flag_seen(PLAN, without) == FlagSeen(0, 0, gone="flag 'chat-model' has no variant 'v2'")
