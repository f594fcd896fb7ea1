"""Tokens, sessions and wrong attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tidegate_server.dashboard.access import SESSION_SECONDS, Access, Attempts, Role
from tidegate_server.dashboard.tokens import Tokens

VIEW, OPERATE = "view-token-0123456", "operate-token-01234"


class Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


def access(clock: Now, view: str | None = VIEW, operate: str | None = OPERATE) -> Access:
    return Access(
        Tokens(view and SecretStr(view), operate and SecretStr(operate)),  # type: ignore[arg-type]
        clock,
    )


@pytest.fixture
def clock() -> Now:
    return Now()


def test_each_token_opens_its_own_role(clock: Now) -> None:
    own = access(clock)
    viewer, operator = own.exchange(VIEW), own.exchange(OPERATE)
    assert viewer is not None
    assert operator is not None
    assert (viewer.role, viewer.operates) == (Role.VIEWER, False)
    assert (operator.role, operator.operates) == (Role.OPERATOR, True)
    assert viewer.id != operator.id


@pytest.mark.parametrize("token", ["", VIEW[:-1], VIEW + "x", VIEW.upper(), "ünïcode-0123456789"])
def test_nothing_else_opens(clock: Now, token: str) -> None:
    assert access(clock).exchange(token) is None


def test_a_token_that_is_not_set_opens_nothing(clock: Now) -> None:
    only_view = access(clock, operate=None)
    assert only_view.exchange("") is None
    assert only_view.exchange("None") is None
    assert only_view.exchange(OPERATE) is None
    assert only_view.exchange(VIEW) is not None


def test_a_session_is_read_back_until_its_time_is_over(clock: Now) -> None:
    own = access(clock)
    session = own.exchange(OPERATE)
    assert session is not None
    sealed = own.seal(session)
    assert own.read(sealed) == session
    clock.time += SESSION_SECONDS - 1
    assert own.read(sealed) == session
    clock.time += 1
    assert own.read(sealed) is None
    assert not own.lives(session)


def test_a_session_outlives_a_restart_but_not_its_token(clock: Now) -> None:
    own = access(clock)
    session = own.exchange(VIEW)
    assert session is not None
    sealed = own.seal(session)
    assert access(clock).read(sealed) == session
    assert access(clock, view="another-token-01234").read(sealed) is None
    assert access(clock, operate=None).read(sealed) is None
    swapped = access(clock, view=OPERATE, operate=VIEW)
    assert swapped.read(sealed) is None, "the same tokens in other roles"


def test_a_session_that_was_ended_counts_no_more(clock: Now) -> None:
    own = access(clock)
    first, second = own.exchange(VIEW), own.exchange(VIEW)
    assert first is not None
    assert second is not None
    own.end(first)
    assert own.read(own.seal(first)) is None
    assert own.read(own.seal(second)) == second


@given(place=st.integers(0, 10_000), flip=st.integers(1, 127))
def test_a_changed_cookie_is_none(place: int, flip: int) -> None:
    own = access(Now())
    session = own.exchange(VIEW)
    assert session is not None
    sealed = own.seal(session)
    place %= len(sealed)
    changed = sealed[:place] + chr(ord(sealed[place]) ^ flip) + sealed[place + 1 :]
    found = own.read(changed)
    assert found is None or (found == session and changed != sealed), "only padding may differ"


@given(st.text())
def test_whatever_a_cookie_says_is_no_error(text: str) -> None:
    assert access(Now()).read(text) is None


def test_wrong_attempts_cost_time(clock: Now) -> None:
    attempts = Attempts(burst=3, seconds=10, clock=clock)
    for _ in range(3):
        assert attempts.wait("a") == 0
        attempts.note("a")
    assert attempts.wait("a") == pytest.approx(10)
    assert attempts.wait("b") == 0, "others are not kept waiting"
    clock.time += 10
    assert attempts.wait("a") == 0
    attempts.note("a")
    assert attempts.wait("a") == pytest.approx(10), "once in ten seconds from then on"
    clock.time += 1_000
    for _ in range(3):
        assert attempts.wait("a") == 0
        attempts.note("a")


def test_attempts_are_remembered_in_bounded_memory(clock: Now) -> None:
    attempts = Attempts(clock=clock)
    for number in range(Attempts.MOST_ADDRESSES + 50):
        attempts.note(f"address-{number}")
    assert len(attempts._paid_until) == Attempts.MOST_ADDRESSES
