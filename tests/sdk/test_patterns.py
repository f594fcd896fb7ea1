"""Patterns: what `re` says, in linear time."""

import re
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.patterns import LONGEST_TEXT, Pattern, PatternError

ATOMS = ["a", "b", "ab", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\w", r"\S", "^", "$", r"\.", "1"]


def patterns() -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(ATOMS),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}", "*?"])).map(
                lambda pair: f"({pair[0]}){pair[1]}"
            ),
        ),
        max_leaves=8,
    )


@given(patterns(), st.text(alphabet="abc1.\n_ Aé", max_size=12))
def test_agrees_with_python(pattern: str, text: str) -> None:
    expected = re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None
    assert Pattern(pattern).search(text) is expected


@given(st.sampled_from(["(?i)ab[c-e]", "(?i)É?x", "(?i)[^a]"]), st.text("aAbBcCdDxXéÉ", max_size=6))
def test_case_can_be_ignored(pattern: str, text: str) -> None:
    assert Pattern(pattern).search(text) is (re.search(pattern, text) is not None)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*)*x", "a?" * 30 + "a" * 30, "(a*)*b"]
)
def test_what_hangs_python_takes_few_steps(pattern: str) -> None:
    compiled = Pattern(pattern)
    lines = 0

    def count(*_: object) -> object:
        nonlocal lines
        lines += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        compiled.search("a" * 2 * LONGEST_TEXT + "!")
    finally:
        sys.settrace(before)
    assert lines < 300_000


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "a)", "[a", "[z-a]", "*a", "a{2,1}", "a{x}", r"\q", "a\\"),
        *("(?P<n>a)", "(?=a)", "a" * 1_001, "(a{100}){100}"),
    ],
)
def test_what_is_not_known_is_an_error(pattern: str) -> None:
    with pytest.raises(PatternError):
        Pattern(pattern)


@given(st.text(alphabet="ab()[]{}*+?|^$\\-,12dw:", max_size=20))
def test_any_text_compiles_or_is_an_error(pattern: str) -> None:
    with suppress(PatternError):
        Pattern(pattern).search("ab12")
