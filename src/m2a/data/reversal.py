"""What a label is called when its clip is played backwards: "Opening something" becomes "Closing something".

Which classes are each other's reversal is read from their names. The rules are few and careful: a class is reversed
only when the reversed text is in the set too, and never when its action runs one way (throwing, pouring), is pretended,
or when two classes would fit. Who goes somewhere goes there backwards in the reversed clip: walking forward and walking
backward are each other's reversal, walking in and walking out are not. Left and right are swapped where something moves
there, not where they say which of two: swiping left is the reversal of swiping right, waving the left hand of no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# Each pair is tried alone, either way around. `{x}` and `{y}` stand for any words.
_PAIRS: tuple[tuple[str, str], ...] = (
    ("opening", "closing"),
    ("open", "close"),
    ("folding", "unfolding"),
    ("plugging", "unplugging"),
    ("zipping", "unzipping"),
    ("loading", "unloading"),
    ("attaching", "detaching"),
    ("inserting", "removing"),
    ("lifting", "lowering"),
    ("raising", "lowering"),
    ("clockwise", "counterclockwise"),
    ("clockwise", "anticlockwise"),
    ("standing up", "sitting down"),
    ("approaching", "moving away from"),
    ("towards", "away from"),
    ("closer to", "away from"),
    ("covering {x} with {y}", "uncovering {x}"),
    ("putting {x} into {y}", "taking {x} out of {y}"),
    ("putting {x} on a surface", "picking {x} up"),
    ("putting {x} behind {y}", "pulling {x} from behind of {y}"),
    ("pushing {x} from left to right", "pulling {x} from right to left"),
    ("pushing {x} from right to left", "pulling {x} from left to right"),
    ("pushing hand away", "pulling hand in"),
    ("pushing two fingers away", "pulling two fingers in"),
)
_WAYS = (("up", "down"), ("upwards", "downwards"), ("upward", "downward"), ("in", "out"))
_FACING = (("forward", "backward"), ("forwards", "backwards"))
_ONE_WAY = re.compile(
    r"throw|drop|fall|pour|spill|pok|hit|kick|collid|break|tear|bounc|pretend|trying|failing"
    r"|\b(?:toss|hurl|fling|launch|shoot|cutting|letting)|diving\b"
)
_STILL = re.compile(r"point|look|show|hold|thumb|\bfacing\b")  # a direction in the label is that of a pose
_GOES = re.compile(  # the verbs of one who goes somewhere, on foot, in the water or in a vehicle
    r"""\b(?:walk|stroll|stepp|march|parad|limp|stagger|tiptoe|sneak|creep|crawl|wad|hik|wander
    | runn|jogg|sprint|rac|rush|dash|hurry|chas|flee|escap | jump|hopp|leap|skipp|vault|gallop|trott
    | climb|clamber|scrambl|rappell|abseil|ascend|descend
    | swimm|paddl|row|canoe|kayak|sail|surf
    | skat|(?:roller|ice)skat|rollerblad|ski|(?:skate|snow|long)?board|sledd|tobogann
    | rid|driv|back|park|cycl|bicycl|bik|motorcycl|travel|travell|fly|glid
    | go|com|enter|leav|exit|carry)ing\b""",
    re.VERBOSE,
)
_SAYING = re.compile(  # the way in them is none, or that of the whole body
    r"""\b(?:work|mak|hang|logg|sign|check|clock|punch|cash|opt|bail|book|fill|typ|writ|eat|din|sleep|stay|camp|liv|lock
    | chill|freak|figur|giv|call|talk|act|dress|warm|cool|heat|calm|cheer|grow|speed|slow|sett|settl|clos|clean|wash|tun
    | sitt|stand|ly|lay|wak|gett|bring)ing[ ](?:in|out|up|down)\b""",
    re.VERBOSE,
)
_SIDE = re.compile(  # what is on the left or right has its name behind them
    r"""(?P<to>\b(?:to|from|towards?)[ ](?:(?:the|one[ ]s|your|his|her|its|their)[ ])?)?
    \b(?P<side>left|right)\b
    (?P<named>(?=[ ](?!(?:while|when|and|then|again|with|for|by|on|in|at|of|or|across|through|over|under|along|around
    |past|until|before|after|to|from|slowly|quickly|fast|once|twice|two|three|\d+)\b)))?""",
    re.VERBOSE,
)
_MOVED = re.compile(
    r"\b(?:mov|turn|swip|slid|tilt|roll|rotat|lean|pann|spinn|scroll|shift|twist|sway|bend|swing|pivot|sweep|transferr)ing"
)
_VERB = re.compile(r"\b\w+ing\b")
_BY_A_HAND = re.compile(  # the hand is on one side of the thing: backwards a push is a pull
    r"\b(?:push|pull|dragg?|shov)(?:e?[sd]|e|ing|es)?\b"
)


def reversal_map(labels: Sequence[str]) -> tuple[int | None, ...]:
    """The class index of each label when its clip is played backwards; None, do not reverse, where no other label is
    its reversal, or more than one.

    >>> reversal_map(["Opening something", "Closing something", "Holding something"])
    (1, 0, None)
    """
    places = {_normal(label): index for index, label in enumerate(labels)}
    found: list[int | None] = []
    for label in labels:
        partners = {places[text] for text in _reversals(_normal(label)) if text in places}
        found.append(partners.pop() if len(partners) == 1 else None)
    return tuple(
        partner if partner is not None and partner != index and found[partner] == index else None
        for index, partner in enumerate(found)
    )


def reversal_pairs(labels: Sequence[str]) -> list[tuple[str, str]]:
    """The labels that `reversal_map` makes each other's reverse, each pair once."""
    return [(labels[a], labels[b]) for a, b in enumerate(reversal_map(labels)) if b is not None and a < b]


def describe_reversals(labels: Sequence[str]) -> str:
    """A readable account of `reversal_map`: which classes swap when a clip is played backwards."""
    pairs = reversal_pairs(labels)
    count = len(labels) - 2 * len(pairs)
    lines = [
        f"{len(pairs)} {'pair swaps' if len(pairs) == 1 else 'pairs swap'} labels when a clip is played backwards:"
    ]
    lines += [f"  {one} <-> {other}" for one, other in pairs]
    return "\n".join([*lines, f"{count} of {len(labels)} classes are never played backwards, for want of a partner"])


def _reversals(label: str) -> Iterator[str]:
    """Texts that could name the reversed action."""
    if _ONE_WAY.search(label):
        return
    moves = bool(_VERB.search(label)) and not _STILL.search(label)
    goes = bool(_GOES.search(label))
    by_a_hand = bool(_BY_A_HAND.search(label))
    for one, other in _PAIRS if by_a_hand else _pairs_for(label, goes=goes):
        if not moves and not _VERB.search(one) and one != "open":
            continue
        for before, after in ((one, other), (other, one)):
            yield from _replaced(label, before, after)
    if moves and not goes and not by_a_hand and (swapped := _other_way(label)) != label:
        yield swapped


def _pairs_for(label: str, *, goes: bool) -> tuple[tuple[str, str], ...]:
    """The pairs to try on a label. Who `goes` somewhere faces the other way in the reversed clip, and no more."""
    if goes:
        return _FACING
    return _PAIRS + _FACING if _SAYING.search(label) else _PAIRS + _FACING + _WAYS


def _other_way(label: str) -> str:
    """With left and right swapped where something moves there or from there, not where they say which of two."""
    moved = _MOVED.search(label) is not None

    def swapped(found: re.Match[str]) -> str:
        if found["to"] is None and (not moved or found["named"] is not None):
            return found[0]
        return (found["to"] or "") + ("right" if found["side"] == "left" else "left")

    return _SIDE.sub(swapped, label)


def _replaced(label: str, before: str, after: str) -> Iterator[str]:
    pattern = re.escape(before).replace(r"\{x\}", "(?P<x>.+?)").replace(r"\{y\}", "(?P<y>.+)")
    match = re.search(rf"(?<!\w){pattern}(?!\w)", label)
    if match is None:
        return
    words = {"x": "something", "y": "something"} | match.groupdict()
    yield label[: match.start()] + after.format(**words) + label[match.end() :]


def _normal(label: str) -> str:
    """In lower case, with single spaces between words."""
    return " ".join(re.sub(r"[_\W]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label)).lower().split())
