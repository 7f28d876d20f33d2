"""The spec grammar: which mechanism, in one short string.

    spec    = layer ("+" layer)*                 a stack, applied left to right: "m2a+tsm"
    layer   = name | motion ":" attention        "tsm", "m2a", "m2a:none"
    name    = a whole mechanism or a shorthand   `m2a.list_mechanisms()`

A motion and an attention are crossed as in the paper's Tables IV and VI; `m2a` is short for `m2a:m2a`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from m2a.errors import SpecError
from m2a.mechanisms.catalogue import parts, shorthands


@dataclass(frozen=True)
class Cell:
    """A motion crossed with an attention, inside the gate."""

    motion: str
    attention: str

    def __str__(self) -> str:
        for shorthand in shorthands().values():
            if (shorthand.motion, shorthand.attention) == (self.motion, self.attention):
                return shorthand.name
        return f"{self.motion}:{self.attention}"


@dataclass(frozen=True)
class Whole:
    """A mechanism that is not made of a motion and an attention, such as a shift."""

    name: str

    def __str__(self) -> str:
        return self.name


Layer = Cell | Whole


@dataclass(frozen=True)
class MechanismSpec:
    """A parsed spec: the layers of a stack, in the order they are applied. `str()` gives its shortest spelling."""

    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.layers))


def parse_spec(spec: str) -> MechanismSpec:
    """Reads a spec such as `"m2a"`, `"m2a:none"` or `"m2a+tsm"`.

    Raises:
        SpecError: it is no text, a name is unknown (the nearest known one is suggested), or the grammar is broken.
    """
    if not isinstance(spec, str):
        raise SpecError(f'A mechanism is named by text, "m2a" say; got {spec!r}.')
    words = [word.strip() for word in spec.split("+")]
    if not all(words):
        raise SpecError(f"The mechanism {spec!r} has an empty name in it. {_grammar()}")
    layers = [_parse_layer(word, spec) for word in words]
    if len(layers) > 1 and Whole("none") in layers:
        raise SpecError(f"The mechanism {spec!r} stacks 'none', which does nothing; leave it out.")
    return MechanismSpec(tuple(layers))


def _parse_layer(word: str, spec: str) -> Layer:
    if word.count(":") > 1:
        raise SpecError(f"{word!r} in the mechanism {spec!r} has more than one ':'. {_grammar()}")
    if ":" in word:
        motion, attention = (half.strip() for half in word.split(":"))
        _check(motion, parts("motion"), "motion", spec)
        _check(attention, parts("attention"), "attention", spec)
        return Whole("none") if motion == attention == "none" else Cell(motion, attention)
    if word in parts("whole"):
        return Whole(word)
    _check(word, [*parts("whole"), *shorthands()], "mechanism", spec)
    return Cell(shorthands()[word].motion, shorthands()[word].attention)


def _check(name: str, known: Iterable[str], kind: str, spec: str) -> None:
    known = list(known)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    inside = "" if name == spec else f" (in {spec!r})"
    raise SpecError(f"There is no {kind} called {name!r}{inside}.{hint} Known: {', '.join(known)}. {_grammar()}")


def _grammar() -> str:
    return "Write a name, 'motion:attention', or a stack such as 'm2a+tsm'."
