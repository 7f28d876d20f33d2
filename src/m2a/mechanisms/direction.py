"""Which way in time a mechanism looks: "bidirectional", at frames before and after, as published; or "unidirectional",
at those before alone, so that a frame can be answered before the next one is there (`m2a.Stream`). TSM's words (Lin,
Gan, Han, section 3); causal attention and causal convolutions are the same idea."""

from __future__ import annotations

from typing import Literal, get_args

from m2a.errors import SpecError

Direction = Literal["bidirectional", "unidirectional"]


def check_direction(direction: Direction) -> None:
    """Raises SpecError for another one."""
    if direction not in get_args(Direction):
        raise SpecError(
            f"direction={direction!r} is not known. 'bidirectional' (as published) looks at frames before and after; "
            "'unidirectional' at those before alone, as a stream must."
        )
