"""MurmurHash3 x86_32 of many texts at once, with numpy.

The hash is Austin Appleby's (public domain); seed 0. It reads a text in words of four bytes, little
endian, and all rows of a block take the same step together. What is the same for all rows, the
prefix, is absorbed once; the bytes of it that fill no word are put in front of each row's first.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegate_server.batch.blocks import TextBlock

Words: TypeAlias = NDArray[np.uint32]

C1, C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)
FIVE, ADDEND = np.uint32(5), np.uint32(0xE6546B64)
MIX1, MIX2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)

TAIL_MASKS = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], np.uint32)
"""Which bits of a word belong to a tail of so many bytes."""


class PrefixedMurmur:
    """Hashes `prefix` + text, as unsigned 32 bit."""

    def __init__(self, prefix: bytes) -> None:
        whole = len(prefix) // 4 * 4
        state = np.zeros(1, np.uint32)
        for word in np.frombuffer(prefix[:whole], "<u4"):
            _absorb(state, np.array([word], np.uint32))
        rest = prefix[whole:]
        self._length = len(prefix)
        self._state = state[0]
        self._carried = len(rest)  # bytes, 0 to 3
        self._carry = np.uint32(int.from_bytes(rest, "little"))
        self._own = np.uint32(0xFFFFFFFF ^ int(TAIL_MASKS[self._carried]))

    def hash(self, block: TextBlock) -> Words:
        """Return the hash of each row of the block."""
        state = self._hash_uniform(block) if block.uniform else self._hash_mixed(block)
        state ^= (block.lengths + np.int32(self._length)).view(np.uint32)
        return _finish(state)

    def _hash_uniform(self, block: TextBlock) -> Words:
        """Absorb rows of one length: word j of all rows lies at equal distances."""
        length = int(block.lengths[0])
        whole, tail = divmod(self._carried + length, 4)
        state = np.full(len(block.lengths), self._state, np.uint32)
        begin = int(block.starts[0]) + block.shift - self._carried
        for index in range(whole + (tail > 0)):
            at = begin + 4 * index
            word = np.ndarray(state.shape, "<u4", block.words.data, at, (length,)).astype(np.uint32)
            if index == 0:
                self._put_carry(word)
            if index < whole:
                _absorb(state, word)
            else:
                word &= TAIL_MASKS[tail]
                state ^= _scrambled(word)
        return state

    def _hash_mixed(self, block: TextBlock) -> Words:
        """Absorb rows of any lengths: the longest first, so that those still read are a slice."""
        lengths = block.lengths + np.int32(self._carried)
        order = np.argsort((lengths >> 2).astype(np.uint8), kind="stable")[::-1]
        lengths = lengths.take(order)
        reader = _WordReader(block, order, self._carried)
        state = np.full(len(order), self._state, np.uint32)
        whole = lengths >> 2
        active = len(order) - np.cumsum(np.bincount(whole))  # rows with more than j whole words
        for index, count in enumerate(active[:-1]):
            word = reader.next(count)
            if index == 0:
                self._put_carry(word)
            _absorb(state[:count], word)
        word = reader.at(whole)
        self._put_carry(word[active[0] :])
        word &= TAIL_MASKS.take(lengths & 3)
        state ^= _scrambled(word)
        in_place = np.empty_like(state)
        in_place[order] = state
        return in_place

    def _put_carry(self, word: Words) -> None:
        """Put what is left of the prefix into the low bytes of the rows' first word, in place."""
        word &= self._own
        word |= self._carry


class _WordReader:
    """Reads words that begin at any byte, from the two aligned words that hold each.

    It begins `before` bytes ahead of each row, and takes the rows in `order`.
    """

    def __init__(self, block: TextBlock, order: NDArray[np.intp], before: int) -> None:
        byte = block.starts.take(order).astype(np.intp) + (block.shift - before)
        self._words = block.words
        self._place = byte >> 2  # of the aligned word that holds the next word's first byte
        self._down = (byte & 3).astype(np.uint32) << 3
        self._up = 32 - self._down  # numpy shifts by 32 to 0
        self._index = 0
        self._low = self._words.take(self._place, mode="clip")

    def next(self, count: int) -> Words:
        """Return the next word of each of the first `count` rows, never more than before."""
        self._index += 1
        high = self._words.take(self._place[:count] + self._index, mode="clip")
        word: Words = np.right_shift(self._low[:count], self._down[:count])
        word |= high << self._up[:count]
        self._low = high
        return word

    def at(self, index: NDArray[np.integer[Any]]) -> Words:
        """Return word number `index` of each row."""
        place = self._place + index
        word: Words = np.right_shift(self._words.take(place, mode="clip"), self._down)
        word |= self._words.take(place + 1, mode="clip") << self._up
        return word


def _absorb(state: Words, word: Words) -> None:
    """Mix one whole word of each row into its state, in place; `word` is used up."""
    state ^= _scrambled(word)
    _rotate(state, 13)
    state *= FIVE
    state += ADDEND


def _scrambled(word: Words) -> Words:
    word *= C1
    _rotate(word, 15)
    word *= C2
    return word


def _rotate(value: Words, by: int) -> None:
    high = value >> np.uint32(32 - by)
    value <<= np.uint32(by)
    value |= high


def _finish(state: Words) -> Words:
    state ^= state >> np.uint32(16)
    state *= MIX1
    state ^= state >> np.uint32(13)
    state *= MIX2
    state ^= state >> np.uint32(16)
    return state
