"""What there is to choose from: motions, attentions and whole mechanisms, each registered where it is written.

A part is chosen by name inside a spec (`motion:attention`, `a+b`; see `spec.py`). An entry is frozen, says in one line
what it does and which paper it is from, and holds the function that builds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import nn

Kind = Literal["motion", "attention", "whole"]


@dataclass(frozen=True, kw_only=True)
class PartInfo:
    """One motion, one attention, or one mechanism that is neither (a shift, say)."""

    name: str
    kind: Kind
    summary: str
    """One line: what it computes."""
    paper: str
    build: Callable[..., nn.Module]
    """`build(channels=, num_frames=, **options)`. For a motion or an attention `channels` are the reduced ones."""
    options: frozenset[str] = frozenset()
    """Names of the keyword options that `build` takes."""
    gate: Callable[..., nn.Module] | None = None
    """Of an attention: what builds the gate around it, `gate(channels, motion=, attention=, reduction=)`; `Gate` when
    None."""
    fixes_num_frames: bool = False
    """Whether T is in the shape of its weights."""
    sees_neighbours: bool = False
    """Whether what it makes of a place depends on the places around it, so that it needs maps with rows and columns."""


@dataclass(frozen=True, kw_only=True)
class Shorthand:
    """A name for a cell of the grammar: `m2a` is `m2a:m2a`."""

    name: str
    motion: str
    attention: str
    summary: str


_PARTS: dict[tuple[Kind, str], PartInfo] = {}
_SHORTHANDS: dict[str, Shorthand] = {}


def register_part(info: PartInfo) -> PartInfo:
    """Adds a part to the catalogue. Raises ValueError when that kind has the name already or the name cannot stand in
    a spec."""
    if not info.name.replace("-", "").isalnum():
        raise ValueError(f"{info.name!r} cannot be written in a spec; use letters, digits and '-'.")
    if (info.kind, info.name) in _PARTS:
        raise ValueError(f"The {info.kind} {info.name!r} is registered already.")
    _PARTS[info.kind, info.name] = info
    return info


def register_shorthand(shorthand: Shorthand) -> Shorthand:
    """Adds a name for `motion:attention`. Raises ValueError when the name is taken."""
    if shorthand.name in _SHORTHANDS or ("whole", shorthand.name) in _PARTS:
        raise ValueError(f"The name {shorthand.name!r} is taken already.")
    _SHORTHANDS[shorthand.name] = shorthand
    return shorthand


def parts(kind: Kind) -> Mapping[str, PartInfo]:
    """The registered parts of one kind, by name, in the order they were registered."""
    return MappingProxyType({name: info for (k, name), info in _PARTS.items() if k == kind})


def shorthands() -> Mapping[str, Shorthand]:
    """The named cells of the grammar, by name."""
    return MappingProxyType(_SHORTHANDS)


def list_mechanisms() -> list[str]:
    """The names that `create_mechanism`, `insert` and `create_model` take, plainest first.

    Any two can be stacked (`"m2a+tsm"`), and any motion crossed with any attention (`"m2a:none"`).
    """
    return [*parts("whole"), *shorthands()]


def describe_parts(kind: Kind) -> dict[str, str]:
    """One line on each motion, attention or whole mechanism."""
    return {name: info.summary for name, info in parts(kind).items()}


def describe_mechanisms() -> dict[str, str]:
    """One line on each name of `list_mechanisms`."""
    return describe_parts("whole") | {name: shorthand.summary for name, shorthand in shorthands().items()}
