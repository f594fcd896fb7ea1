"""Values that many callers share: dictionaries and lists that can be read, not changed.

They are real dictionaries and lists, so that `json.dumps`, `**value` and `==` work as always;
`dict(value)`, `copy.copy` and `copy.deepcopy` give ordinary ones that may be changed.
"""

from collections.abc import Mapping
from typing import Any, NoReturn


def freeze(value: Any) -> Any:
    """Return a JSON value as a read-only copy, all the way down."""
    if isinstance(value, Mapping):
        return ReadOnlyDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return ReadOnlyList([freeze(item) for item in value])
    return value


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(
        "a variant's value is shared by everybody who is given it and cannot be changed: "
        "change a copy.deepcopy of it"
    )


class ReadOnlyDict(dict[str, Any]):
    """A dictionary that refuses to be changed."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class ReadOnlyList(list[Any]):
    """A list that refuses to be changed."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = _refuse
    reverse = sort = _refuse

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        return list, (list(self),)
