"""What kind of action a label names, read from its words: the camera moves, a thing moves, something is done to a
thing, or nothing moves.

The rules are for descriptions in the manner of Something-Something and Jester ("Pushing something from left to right"):
verbs, and a few words that outweigh them. A label they do not understand is of the kind "other".
"""

from __future__ import annotations

import re

KINDS = ("camera motion", "object motion", "interaction", "static", "other")
"""All kinds, in the order in which they are shown."""

_CAMERA = re.compile(r"\bwith (your|the) camera\b|\b(turn|mov|tilt|pan|rotat|shak)\w* (the|your) camera\b")
_STATIC = re.compile(r"\b(hold|show|point|look|stand(?!ing up)|sit(?!ting down))\w*")
_BETWEEN = re.compile(
    r"\bcolli\w+|\btwo ends\b|\bpull\w* \w+ (out of|from behind|onto)\b|\bpush\w* \w+ (onto|into|off)\b"
)
"""Where two things meet or part, or one changes, the verb of motion is not the point."""
_MOVES = (
    "approach", "bounc", "catch", "deflect", "drag", "drop", "fall", "fell", "lift", "lower", "mov", "pass", "pull",
    "push", "rais", "roll", "rotat", "shak", "slid", "spin", "swip", "swing", "throw", "tilt", "tip", "turn", "wav",
)  # fmt: skip
_DOES = (
    "attach", "bend", "break", "bur(?:y|ied)", "clos", "cover", "cut", "detach", "dig", "fold", "hit", "insert",
    "kick", "lay", "load", "open", "peel", "pick", "pil", "plug", "pok", "pour", "put", "remov", "scoop", "sprinkl",
    "spill", "spread", "squeez", "stack", "stuff", "tak", "tear", "touch", "twist", "uncover", "unfold", "unload",
    "unplug", "unzip", "wip", "wring", "zip",
)  # fmt: skip
_VERB = re.compile(rf"\b(?:(?P<moves>{'|'.join(_MOVES)})|(?P<does>{'|'.join(_DOES)}))(?:\w?(?:e|es|ed|ing|s))?\b")


def kind_of(label: str) -> str:
    """One of `KINDS`; the first verb that is understood decides, so that pretended actions are of their action's kind.

    >>> kind_of("Turning the camera left while filming something")
    'camera motion'
    >>> kind_of("Pretending to put something on a surface")
    'interaction'
    """
    text = " ".join(re.sub(r"[_\W]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label)).lower().split())
    if _CAMERA.search(text):
        return "camera motion"
    verb, still = _VERB.search(text), _STATIC.search(text)
    if still and (verb is None or still.start() < verb.start()):
        return "static"
    if _BETWEEN.search(text):
        return "interaction"
    if verb is None:
        return "other"
    return "object motion" if verb["moves"] else "interaction"
