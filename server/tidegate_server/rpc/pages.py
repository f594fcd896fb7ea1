"""Lists in pages: a page's token is the last key of the page before."""

from collections.abc import Iterable
from typing import TypeVar

from tidegate_server.errors import InvalidField

DEFAULT_PAGE, LONGEST_PAGE = 100, 1_000

Key = TypeVar("Key", bound=str)


def size_of(size: int) -> int:
    """Return how many entries a page has; 0 stands for DEFAULT_PAGE.

    Raises:
        InvalidField: the size is out of its range.
    """
    if not 0 <= size <= LONGEST_PAGE:
        raise InvalidField("page_size", f"{size}; give 1 to {LONGEST_PAGE:,}")
    return size or DEFAULT_PAGE


def page_size(size: int) -> int:
    """Return how many entries a page has; 0 stands for DEFAULT_PAGE.

    Raises:
        InvalidField: the size is out of its range.
    """
    if not 0 <= size <= LONGEST_PAGE:
        raise InvalidField("page_size", f"{size}; give 1 to {LONGEST_PAGE:,}")
    return size or DEFAULT_PAGE


def page(keys: Iterable[Key], size: int, token: str) -> tuple[list[Key], str]:
    """Return the keys of one page, in order, and the token of the next; "" after the last.

    size: 0 stands for DEFAULT_PAGE.

    Raises:
        InvalidField: the size is out of its range.
    """
    size = size_of(size)
    following = sorted(key for key in keys if key > token)
    return following[:size], following[size - 1] if len(following) > size else ""
