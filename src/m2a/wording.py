"""Words that all parts say alike."""

from __future__ import annotations

from collections.abc import Sequence


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 clip`, `1,234 clips`, `1 class`, `2 classes`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def first_few(names: Sequence[str], limit: int = 5) -> str:
    """`a, b, c and 12 more`."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def quoted(names: Sequence[str], limit: int = 3) -> str:
    """`'a', 'b', 'c' and 12 more`."""
    return first_few([*map(repr, names)], limit)
