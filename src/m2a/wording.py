"""Words that all parts say alike."""

from __future__ import annotations


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 clip`, `1,234 clips`, `1 class`, `2 classes`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
