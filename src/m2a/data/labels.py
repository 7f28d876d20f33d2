"""What a label is called when the clip is mirrored: left and right change places, and so do the ways to turn.

A horizontal flip is a free augmentation for most classes and a wrong label for "Pushing something from left to
right". Which is which is read from the names, never from hard-coded class ids.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # also the words in v_swiping_left and SwipeLeft
_SIDE = re.compile(r"left|right", re.IGNORECASE)
_SIDED_WORD = re.compile(
    r"(?:top|bottom|upper|lower|front|rear|to|from|and)*(?:left|right)(?:to|and|left|right)*(?:wards?|most|hand(?:ed)?|side|er)?",
    re.IGNORECASE,
)
_AGAINST = ("counter", "anti")
_TURNS = {"clockwise": "counterclockwise", "counterclockwise": "clockwise", "anticlockwise": "clockwise"}
_SHORT_TURNS = {"cw": "ccw", "ccw": "cw", "acw": "cw"}
_PARTNERS = _TURNS | _SHORT_TURNS
_SAME = {"anticlockwise": "counterclockwise", "acw": "ccw"}


def mirror_label(label: str) -> str:
    """The label of the mirrored clip: left and right swapped, clockwise and counterclockwise swapped, case kept.

    >>> mirror_label("Pushing something from left to right")
    'Pushing something from right to left'
    """
    return _rewrite(label, mirrored=True)


def flip_map(labels: Sequence[str]) -> tuple[int | None, ...]:
    """The class index of each label after a horizontal flip.

    The same index where the text names no direction; the partner's where the mirrored text is in the set too;
    None, do not flip, where it is not.
    """
    places: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        places.setdefault(_key(label), []).append(index)
    exact = {label: index for index, label in enumerate(labels)}
    flips: list[int | None] = []
    for index, label in enumerate(labels):
        mirrored = mirror_label(label)
        alike = places.get(_key(mirrored), [])
        if mirrored == label:
            flips.append(index)
        elif mirrored in exact:
            flips.append(exact[mirrored])
        else:
            flips.append(alike[0] if len(alike) == 1 else None)
    return tuple(flips)


def describe_flips(labels: Sequence[str]) -> str:
    """A readable account of `flip_map`: which classes swap, which are never flipped, how many keep their label."""
    flips = flip_map(labels)
    pairs = [(a, b) for a, b in enumerate(flips) if b is not None and b != a and not (b < a and flips[b] == a)]
    refused = [label for label, flip in zip(labels, flips, strict=True) if flip is None]
    kept = sum(index == flip for index, flip in enumerate(flips))
    lines = [f"{kept} of {len(labels)} classes keep their label when a clip is mirrored"]
    if pairs:
        lines.append(f"{len(pairs)} {'pair swaps' if len(pairs) == 1 else 'pairs swap'} labels:")
        lines += [f"  {labels[a]} <-> {labels[b]}" for a, b in pairs]
    if refused:
        lines.append(f"{len(refused)} {'is' if len(refused) == 1 else 'are'} never mirrored, for want of a partner:")
        lines += [f"  {label} (would be: {mirror_label(label)})" for label in refused]
    return "\n".join(lines)


def _key(label: str) -> str:
    """What is the same for all spellings of a label: case, anti- and counter-, hyphens in them."""
    return _rewrite(label, mirrored=False).casefold()


def _rewrite(label: str, *, mirrored: bool) -> str:
    pieces: list[str] = []  # words, and the text between them, in turn
    done = 0
    for match in _WORD.finditer(label):
        gap, word = label[done : match.start()], match.group()
        done = match.end()
        if word.lower() == "clockwise" and gap in ("", "-", " ", "_") and pieces and pieces[-1].lower() in _AGAINST:
            word, gap = _cased("counterclockwise", like=pieces.pop()), pieces.pop()
        pieces += [gap, _mirror_word(word) if mirrored else _cased(_SAME.get(word.lower(), word.lower()), like=word)]
    return "".join(pieces) + label[done:]


def _mirror_word(word: str) -> str:
    if word.lower() in _PARTNERS:
        return _cased(_PARTNERS[word.lower()], like=word)
    if _SIDED_WORD.fullmatch(word):
        return _SIDE.sub(lambda side: _cased("right" if side[0].lower() == "left" else "left", like=side[0]), word)
    return word


def _cased(word: str, *, like: str) -> str:
    """`word` in lower case, capitalised or in capitals, as `like` is."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word
