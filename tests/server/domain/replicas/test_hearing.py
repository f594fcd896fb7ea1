from datetime import timedelta

from tests.server.domain.experiments.samples import NOW
from tests.server.domain.replicas.samples import POLICY, replica
from tidegate_server.domain.replicas.hearing import Hearing
from tidegate_server.domain.replicas.replica import Fleet

SECOND = timedelta(seconds=1)


def read(at: float, **heard: float) -> Fleet:
    """Replicas as read at a second, and the second at which each was heard."""
    replicas = [replica(name, heard=NOW + time * SECOND) for name, time in heard.items()]
    return Fleet(NOW + at * SECOND, {each.id: each for each in replicas})


def living(fleet: Fleet) -> set[str]:
    return {each.id for each in fleet.replicas.values() if POLICY.lives(each, fleet.now)}


def spared(fleet: Fleet) -> set[str]:
    return {each.id for each in fleet.replicas.values() if each.spared}


def test_while_they_can_be_heard_silence_counts() -> None:
    hearing = Hearing(POLICY)
    assert hearing.judge(read(0)).replicas == {}
    assert living(hearing.judge(read(60, a=60, b=58))) == {"a", "b"}
    assert living(hearing.judge(read(74, a=73, b=58))) == {"a"}
    assert living(hearing.judge(read(90, a=73, b=58))) == set()


def test_after_an_interruption_those_that_lived_are_spared_for_as_long_as_silence_may_last() -> (
    None
):
    hearing = Hearing(POLICY)
    assert living(hearing.judge(read(60, a=60, b=58, dead=0))) == {"a", "b"}
    hearing.judge(read(100, a=97, b=98, dead=0))
    hearing.interrupt()
    first = hearing.judge(read(400, a=399, b=98, dead=0, new=399))
    assert (living(first), spared(first)) == ({"a", "b", "new"}, {"b"})
    assert living(hearing.judge(read(414, a=414, b=98))) == {"a", "b"}
    assert living(hearing.judge(read(415, a=414, b=98))) == {"a"}


def test_whoever_is_new_spares_those_that_lived_when_any_was_heard_last() -> None:
    first = Hearing(POLICY).judge(read(400, a=100, b=90, dead=80))
    assert (living(first), spared(first)) == ({"a", "b"}, {"a", "b"})
    assert spared(Hearing(POLICY).judge(read(400, a=399, b=90))) == set()
