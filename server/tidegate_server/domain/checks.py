"""Checks that flags and segments share: names, lengths, shares, and how problems are worded."""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence

from tidegate.model import PPM, Flag, Segment, SplitShare, VariantKey
from tidegate_server.errors import InvalidField, RevisionConflict

KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
KEY_RULE = "1 to 100 characters of a-z, 0-9, '.', '_' and '-', beginning with a letter or a digit"
MOST_NAMED = 20
"""How many names a message lists before it only counts the rest."""


def percent(ppm: int) -> str:
    """Write a share in percent, exactly: 125_000 is '12.5 %'."""
    whole, rest = divmod(ppm, PPM // 100)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + " %"


def listed(names: Collection[str]) -> str:
    """Write names in quotes; of many, only the first."""
    shown = ", ".join(map(repr, list(names)[:MOST_NAMED]))
    rest = len(names) - MOST_NAMED
    return f"{shown} and {rest:,} more" if rest > 0 else shown


def unknown(name: str, known: Iterable[str]) -> str:
    """Say that a name is not known, and which known one is nearest."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"{name!r} is not known; did you mean {near[0]!r}?"
    return f"{name!r} is not known; known are {listed(names) or 'none'}"


def expect_revision(current: Flag | Segment, revision: int) -> None:
    """Check that a change was made from the current revision; 0 stands for any.

    Raises:
        RevisionConflict: it was not.
    """
    if revision not in (0, current.revision):
        kind = "flag" if isinstance(current, Flag) else "segment"
        raise RevisionConflict(
            f"{kind} {current.key!r} is at revision {current.revision}, not {revision}: "
            "somebody changed it; read it again and repeat the change"
        )


def check_key(field: str, key: str) -> None:
    """Check a name that people choose.

    Raises:
        InvalidField
    """
    if not KEY.fullmatch(key):
        raise InvalidField(field, f"{key!r} is not a valid name: use {KEY_RULE}")


def check_length(field: str, text: str, least: int, most: int) -> None:
    """Check that a text has `least` to `most` characters.

    Raises:
        InvalidField
    """
    if not least <= len(text) <= most:
        raise InvalidField(field, f"has {len(text):,} characters; give {least} to {most:,}")


def check_count(field: str, entries: Collection[object], least: int, most: int) -> None:
    """Check that there are `least` to `most` entries.

    Raises:
        InvalidField
    """
    if not least <= len(entries) <= most:
        wanted = f"{least} to {most:,}" if least else f"at most {most:,}"
        raise InvalidField(field, f"there are {len(entries):,}; give {wanted}")


def check_unique(field: str, names: Sequence[str]) -> None:
    """Check that no name occurs twice.

    Raises:
        InvalidField
    """
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise InvalidField(f"{field}[{index}]", f"{name!r} occurs twice; name it once")
        seen.add(name)


def check_variant(field: str, key: VariantKey, variants: Sequence[VariantKey]) -> None:
    """Check that a variant is one of the flag's.

    Raises:
        InvalidField
    """
    if key not in variants:
        raise InvalidField(field, f"variant {unknown(key, variants)}")


def check_share(field: str, ppm: int, least: int = 0) -> None:
    """Check that a share is within [least, PPM].

    Raises:
        InvalidField
    """
    if not least <= ppm <= PPM:
        raise InvalidField(
            field,
            f"{ppm:,} is out of range: a share is {least} to {PPM:,} ppm "
            f"({percent(least)} to 100 %)",
        )


def check_split(
    split: Sequence[SplitShare], variants: Sequence[VariantKey], field: str = "split"
) -> None:
    """Check that shares are in range, of known variants, and add up to the whole.

    Raises:
        InvalidField: names the first share that breaks a rule, or `field` and its sum.
    """
    check_unique(field, [share.variant for share in split])
    for index, share in enumerate(split):
        check_variant(f"{field}[{index}].variant", share.variant, variants)
        check_share(f"{field}[{index}].share_ppm", share.ppm)
    total = sum(share.ppm for share in split)
    if total != PPM:
        raise InvalidField(
            field,
            f"the shares add up to {percent(total)}, not 100 %: "
            f"{'add' if total < PPM else 'take away'} {percent(abs(PPM - total))}",
        )
