"""What a label is called when the clip is mirrored: left and right change places, and so do the ways to turn.

A horizontal flip is a free augmentation for most classes and a wrong label for "Pushing something from left to
right". Which is which is read from the names of the whole set, never from hard-coded class ids. Words that run together
(turnleft) are looked into; a lone l or r is a side only where its partner is in the set.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

# A word, also those in v_swiping_left, SwipeLeft and LEFThook.
_WORD = re.compile(r"[A-Z]*?(?:LEFT|RIGHT)(?=[a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SIDE = re.compile(r"left|right", re.IGNORECASE)
_NO_SIDE = re.compile(  # words that hold a side and name none
    r"""(?:over|eye)?bright(?:er|est|ly|ness|en|ens|ened|ener|ening)? | brighton
    | upright(?:s|ed|ing|ly|ness)? | copyright(?:s|ed|ing)?
    | (?:af)?fright(?:s|ful|fully|en|ens|ened|ening)?
    | (?:play|cart|wheel|ship|boat|mill|wain|ark|plough)?wrights?
    | alright | aright | birthrights? | forthright(?:ly)? | outright | sprightly
    | righteous(?:ly|ness)? | rightful(?:ly)? | rightly | right(?:ed|ing)
    | clefts? | leftovers?""",
    re.VERBOSE,
)
_LETTERS = frozenset(  # the sides in short: left, right, one to the other, a hand, a foot
    {"l", "r", "lr", "rl", "lt", "rt", "lh", "rh", "lhand", "rhand", "lfoot", "rfoot"}
)
_OTHER_SIDE = str.maketrans("lrLR", "rlRL")
_NO_DIRECTION = frozenset("aeghijkopqvxyz")  # two of these, and the letters beside them are an alphabet's
_AGAINST = ("counter", "anti")
_TURN = re.compile(r"(counter|anti)?clockwise", re.IGNORECASE)
_SHORT_TURNS = {"cw": "ccw", "ccw": "cw", "acw": "cw"}


def mirror_label(label: str) -> str:
    """The label of the mirrored clip: left and right swapped, clockwise and counterclockwise swapped, case kept.

    Sides are swapped inside words too (leftarm), but not in words that only hold the letters (bright, upright).

    >>> mirror_label("Pushing something from left to right")
    'Pushing something from right to left'
    """
    return _rewrite(label, mirrored=True)


def flip_map(labels: Sequence[str]) -> tuple[int | None, ...]:
    """The class index of each label after a horizontal flip.

    The same index where the text names no direction; the partner's where the mirrored text is in the set too;
    None, do not flip, where it is not. A lone l or r, and a word such as upright, is a direction where its mirrored
    text is in the set (punch_l and punch_r), and else none (l sit).
    """
    places: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        places[_key(label)].append(index)
    exact = {label: index for index, label in enumerate(labels)}
    alphabets = _alphabets(labels)
    flips: list[int | None] = []
    for index, label in enumerate(labels):
        partner = None
        for mirrored in _mirrored(label, letters=_around_letter(label) not in alphabets):
            alike = places.get(_key(mirrored), [])
            partner = exact.get(mirrored, alike[0] if len(alike) == 1 else None)
            if partner is not None:
                break
        flips.append(index if partner is None and mirror_label(label) == label else partner)
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


def _mirrored(label: str, *, letters: bool) -> Iterator[str]:
    """Texts that could name the mirrored clip, other than the label itself: those with the most swapped come first."""
    for with_letters in (True, False) if letters else (False,):
        for every_word in (True, False):
            text = _rewrite(label, mirrored=True, letters=with_letters, every_word=every_word)
            if text != label:
                yield text


def _alphabets(labels: Sequence[str]) -> set[str]:
    """The texts around a lone letter in whose place the set has an alphabet (letter A, letter B, ...)."""
    found: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        found[_around_letter(label)].update(word.lower() for word in _WORD.findall(label) if len(word) == 1)
    return {around for around, letters in found.items() if len(letters & _NO_DIRECTION) > 1}


def _around_letter(label: str) -> str:
    return _WORD.sub(lambda word: "*" if len(word[0]) == 1 else word[0], label).casefold()


def _key(label: str) -> str:
    """What is the same for all spellings of a label: case, anti- and counter-, hyphens in them."""
    return _rewrite(label, mirrored=False).casefold()


def _rewrite(label: str, *, mirrored: bool, letters: bool = False, every_word: bool = False) -> str:
    """The label with each word mirrored, or only spelled as all spell it. `letters` swaps a lone l and r too, and
    `every_word` the sides in words such as upright."""
    pieces: list[str] = []  # words, and the text between them, in turn
    done = 0
    for match in _WORD.finditer(label):
        gap, word = label[done : match.start()], match.group()
        done = match.end()
        if word.lower() == "clockwise" and gap in ("", "-", " ", "_") and pieces and pieces[-1].lower() in _AGAINST:
            word, gap = _cased("counterclockwise", like=pieces.pop()), pieces.pop()
        if mirrored and letters and word.lower() in _LETTERS:
            word = word.translate(_OTHER_SIDE)
        pieces += [gap, _mirror_word(word, every_word) if mirrored else _same_word(word)]
    return "".join(pieces) + label[done:]


def _mirror_word(word: str, every_word: bool) -> str:
    if word.lower() in _SHORT_TURNS:
        return _cased(_SHORT_TURNS[word.lower()], like=word)
    word = _TURN.sub(lambda turn: _cased("clockwise" if turn[1] else "counterclockwise", like=turn[0]), word)
    if _NO_SIDE.fullmatch(word.lower()) and not every_word:
        return word
    return _SIDE.sub(lambda side: _cased("right" if side[0].lower() == "left" else "left", like=side[0]), word)


def _same_word(word: str) -> str:
    """The word with counter for anti, the only one that is spelled in two ways."""
    return "ccw" if word.lower() == "acw" else re.sub("anticlockwise", "counterclockwise", word, flags=re.IGNORECASE)


def _cased(word: str, *, like: str) -> str:
    """`word` in lower case, capitalised or in capitals, as `like` is."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word
