"""What the page calls its models: no two alike, and nothing of this machine's folders that is not needed for that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

_USUAL = frozenset({"model", "adapter"})  # folders within a run: they do not say which


def short_names(names: Sequence[str]) -> list[str]:
    """The last folders of each name that tell it from the others: "m2a" and "none" of "/data/runs/m2a/model" and
    "/data/runs/none/model"."""
    for parts in ([_telling(name) for name in names], [_parts(name) for name in names]):
        tails = [_tail(own, [*parts[:place], *parts[place + 1 :]]) for place, own in enumerate(parts)]
        if len(set(tails)) == len(tails):
            return tails
    return list(names)


def shown_names(names: Sequence[str]) -> list[str]:
    """Names as they were given; of absolute paths the short ones."""
    return [
        short if PurePath(name).is_absolute() else name for name, short in zip(names, short_names(names), strict=True)
    ]


def shown_titles(titles: Sequence[str], names: Sequence[str]) -> list[str]:
    """Titles, each with its short name where another title is the same."""
    times = Counter(titles)
    pairs = zip(titles, short_names(names), strict=True)
    return [f"{title} ({short})" if times[title] > 1 else title for title, short in pairs]


def _parts(name: str) -> tuple[str, ...]:
    path = PurePath(name)
    return tuple(part for part in path.parts if part != path.anchor)


def _telling(name: str) -> tuple[str, ...]:
    """Its folders, without the one within a run."""
    parts = _parts(name)
    return parts[:-1] if len(parts) > 1 and parts[-1] in _USUAL else parts


def _tail(own: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> str:
    """The shortest of its tails that none of the others has."""
    lengths = range(1, len(own))
    short = next((n for n in lengths if all(other[-n:] != own[-n:] for other in others)), len(own))
    return "/".join(own[-short:])
