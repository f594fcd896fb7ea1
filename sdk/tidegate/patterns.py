r"""Regular expressions that can't hang an application: matched in time linear in the text.

Python's `re` backtracks, and takes for ever on patterns such as "(a+)+$". Here a pattern becomes a
nondeterministic automaton (Thompson 1968, "Regular expression search algorithm", CACM 11:6) whose
sets of states are walked, and remembered, one character at a time (Cox 2007, "Regular expression
matching can be simple and fast").

Syntax, a part of RE2's: literals, ".", classes ("[a-z]", "[^0-9]"), "\d \w \s" and their
negations, groups "(…)" and "(?:…)", "|", "*", "+", "?", "{m}", "{m,}", "{m,n}", "^", "$", and
"(?i)" at the very beginning. Letters, digits and white space are ASCII's.
"""

import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

LONGEST_PATTERN = 1_000
"""Most characters of a pattern."""

LONGEST_TEXT = 1_000
"""How many characters of a text are looked at."""

MOST_STATES = 2_000
"""Most states of a pattern's automaton, with repetitions written out."""

_MOST_REMEMBERED = 1_000

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_CLASSES = {
    "d": frozenset(string.digits),
    "w": frozenset(string.ascii_letters + string.digits + "_"),
    "s": frozenset(" \t\n\r\f\v"),
}


class PatternError(ValueError):
    """A pattern can't be compiled; the message says where and why."""


class _Kind(Enum):
    CHARACTER = auto()  # goes to `then` on a character that `accepts`
    EITHER = auto()  # goes to `then` and to `other`, reading nothing
    START = auto()  # goes to `then` at the start of the text
    END = auto()  # goes to `then` at its end
    MATCH = auto()


Accepts: TypeAlias = Callable[[str], bool]


@dataclass(slots=True)
class _State:
    kind: _Kind
    accepts: Accepts | None = None
    then: int = -1
    other: int = -1


States: TypeAlias = frozenset[int]


class Pattern:
    """A compiled pattern.

    Raises:
        PatternError: the pattern is too long, too large, or of another syntax.
    """

    def __init__(self, pattern: str) -> None:
        self._states = _Compiler(pattern).compile()
        self._first = self._closure({0}, at_start=True)
        self._again = self._closure({0})
        self._steps: dict[tuple[States, str], States] = {}
        self._final = len(self._states) - 1

    def search(self, text: str) -> bool:
        """Return whether the pattern matches somewhere in the first LONGEST_TEXT characters."""
        states = self._first
        for character in text[:LONGEST_TEXT]:
            if self._final in states:
                return True
            states = self._step(states, character)
        return self._final in self._closure(states, at_start=not text, at_end=True)

    def _step(self, states: States, character: str) -> States:
        known = self._steps.get((states, character))
        if known is not None:
            return known
        reached = set()
        for number in states:
            state = self._states[number]
            if state.accepts is not None and state.accepts(character):
                reached.add(state.then)
        after = self._closure(reached) | self._again
        if len(self._steps) >= _MOST_REMEMBERED:
            self._steps = {}
        self._steps[states, character] = after
        return after

    def _closure(
        self, begin: Iterable[int], *, at_start: bool = False, at_end: bool = False
    ) -> States:
        """Return all states that are reached from `begin` without reading a character."""
        reached: set[int] = set()
        pending = list(begin)
        while pending:
            number = pending.pop()
            if number in reached:
                continue
            reached.add(number)
            state = self._states[number]
            if state.kind is _Kind.EITHER:
                pending += (state.then, state.other)
            elif (state.kind is _Kind.START and at_start) or (state.kind is _Kind.END and at_end):
                pending.append(state.then)
        return frozenset(reached)


# The tree of a pattern: each node adds its states, which lead on to the state `then`.

Node: TypeAlias = Callable[["_Compiler", int], int]


class _Compiler:
    """Parses by recursive descent into nodes, and lets them write the automaton from its end."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > LONGEST_PATTERN:
            raise PatternError(f"has {len(pattern)} characters; at most {LONGEST_PATTERN}")
        self._ignore_case = pattern.startswith("(?i)")
        self._pattern = pattern
        self._position = 4 if self._ignore_case else 0
        self._states: list[_State] = []

    def compile(self) -> list[_State]:
        """Return the states: the first one begins, the last one is the match."""
        tree = self._alternatives()
        if self._position < len(self._pattern):
            raise self._error('has a ")" without a "("')
        match = self.add(_State(_Kind.MATCH))
        begin = tree(self, match)
        return self._renumbered(begin)

    def add(self, state: _State) -> int:
        """Add a state and return its number."""
        if len(self._states) >= MOST_STATES:
            raise PatternError(f"needs more than {MOST_STATES} states; repeat less")
        self._states.append(state)
        return len(self._states) - 1

    def close(self, loop: int, begin: int) -> None:
        """Let the state `loop` also lead to `begin`, which was written after it."""
        self._states[loop].other = begin

    def _renumbered(self, begin: int) -> list[_State]:
        """Return the states in reverse, behind one that leads to `begin`; the match is last."""
        last = len(self._states)
        for state in self._states:
            state.then, state.other = last - state.then, last - state.other
        entry = _State(_Kind.EITHER, None, last - begin, last - begin)
        return [entry, *reversed(self._states)]

    def _alternatives(self) -> Node:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _either(branches)

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._position < len(self._pattern) and self._peek() not in "|)":
            items.append(self._repeated(self._item()))
        return _all(items)

    def _item(self) -> Node:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return _character(lambda read: read != "\n")
            case "^":
                return _assertion(_Kind.START)
            case "$":
                return _assertion(_Kind.END)
            case "\\":
                return _character(self._folded(self._escape()))
            case "*" | "+" | "?":
                raise self._error(f'has nothing before "{character}" to repeat')
        return _character(self._folded(frozenset(character).__contains__))

    def _group(self) -> Node:
        if self._take("?") and not self._take(":"):
            raise self._error('has a group that begins with "(?"; only "(?:" is known')
        inner = self._alternatives()
        if not self._take(")"):
            raise self._error('has a "(" without a ")"')
        return inner

    def _class(self) -> Node:
        negated = self._take("^")
        tests: list[Accepts] = []
        while not tests or self._peek() != "]":
            tests.append(self._class_item())
        self._next()

        def accepts(read: str) -> bool:
            return any(test(read) for test in tests)

        folded = self._folded(accepts)
        return _character((lambda read: not folded(read)) if negated else folded)

    def _class_item(self) -> Accepts:
        low = self._next()
        if low == "\\":
            escaped = self._escape()
            if self._peek() == "-" and self._pattern[self._position + 1 :][:1] not in ("]", ""):
                raise self._error("has a range that begins with an escape")
            return escaped
        after = self._pattern[self._position + 1 :][:1]
        if self._peek() == "-" and after not in ("]", ""):
            self._next()
            high = self._next()
            if high == "\\" or high < low:
                raise self._error(f'has the wrong range "{low}-{high}"')
            return lambda read: low <= read <= high
        return frozenset(low).__contains__

    def _escape(self) -> Accepts:
        character = self._next()
        if character in _CLASSES:
            return _CLASSES[character].__contains__
        if character.lower() in _CLASSES:
            known = _CLASSES[character.lower()]
            return lambda read: read not in known
        if character in _ESCAPES:
            return frozenset(_ESCAPES[character]).__contains__
        if character.isalnum():
            raise self._error(f'has the unknown escape "\\{character}"')
        return frozenset(character).__contains__

    def _folded(self, accepts: Accepts) -> Accepts:
        if not self._ignore_case:
            return accepts
        return lambda read: accepts(read.lower()) or accepts(read.upper())

    def _repeated(self, item: Node) -> Node:
        while self._position < len(self._pattern) and self._peek() in "*+?{":
            least, most = self._bounds(self._next())
            self._take("?")  # a lazy repetition matches the same texts
            item = _repeat(item, least, most)
        return item

    def _bounds(self, mark: str) -> tuple[int, int | None]:
        if mark != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[mark]
        end = self._pattern.find("}", self._position)
        least, comma, most = self._pattern[self._position : end].partition(",")
        valid = end > 0 and least.isdecimal() and (not most or most.isdecimal())
        if not valid or (most and int(most) < int(least)):
            raise self._error('has a "{" that begins no "{m}", "{m,}" or "{m,n}"; write "\\{"')
        self._position = end + 1
        if not comma:
            return int(least), int(least)
        return int(least), int(most) if most else None

    def _peek(self) -> str:
        if self._position >= len(self._pattern):
            raise self._error("ends in the middle")
        return self._pattern[self._position]

    def _next(self) -> str:
        character = self._peek()
        self._position += 1
        return character

    def _take(self, character: str) -> bool:
        found = self._pattern.startswith(character, self._position)
        self._position += found
        return found

    def _error(self, why: str) -> PatternError:
        return PatternError(f"{self._pattern!r}, at character {self._position}, {why}")


def _character(accepts: Accepts) -> Node:
    return lambda automaton, then: automaton.add(_State(_Kind.CHARACTER, accepts, then))


def _assertion(kind: _Kind) -> Node:
    return lambda automaton, then: automaton.add(_State(kind, None, then))


def _all(items: list[Node]) -> Node:
    def write(automaton: _Compiler, then: int) -> int:
        for item in reversed(items):
            then = item(automaton, then)
        return then

    return write


def _either(branches: list[Node]) -> Node:
    def write(automaton: _Compiler, then: int) -> int:
        begin = branches[-1](automaton, then)
        for branch in reversed(branches[:-1]):
            begin = automaton.add(_State(_Kind.EITHER, None, branch(automaton, then), begin))
        return begin

    return write


def _repeat(item: Node, least: int, most: int | None) -> Node:
    def write(automaton: _Compiler, then: int) -> int:
        if most is None:
            loop = automaton.add(_State(_Kind.EITHER, None, then, then))
            automaton.close(loop, item(automaton, loop))
            then = loop
        else:
            end = then
            for _ in range(most - least):
                then = automaton.add(_State(_Kind.EITHER, None, item(automaton, then), end))
        for _ in range(least):
            then = item(automaton, then)
        return then

    return write
