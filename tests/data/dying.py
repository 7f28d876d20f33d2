"""A function for worker processes that kills the one that gets the word."""

from __future__ import annotations

import os


def shout(word: str) -> str:
    if word == "die":
        os._exit(3)
    return word.upper()


def nothing() -> None: ...
