"""Keys of other projects as ours."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from m2a.errors import CheckpointError
from m2a.interop.keys import gate_key, tam_key
from m2a.interop.place import is_network, place, put
from m2a.interop.placed import Placed
from m2a.interop.report import consequence
from m2a.interop.sources import SOURCES, find_source
from m2a.models.weights import without_prefix


def convert_state_dict(state_dict: Mapping[str, Tensor], source: str = "m2a") -> dict[str, Tensor]:
    """The state of one mechanism, or of a whole network as a `VideoClassifier` has it.

    Args:
        state_dict: as the source's training saved it, `module.` in front or not.
        source: "m2a" (the released code), "tsm", "tam", "tea", "tdn" or "mmaction2".

    Raises:
        ConfigError: another source.
        CheckpointError: two keys fall on one name, or keys have no place here; they are named.
    """
    known = find_source(source)
    state = without_prefix(state_dict, "The state dict")
    if is_network(state):
        placed = place(state, source)
        check_placed(placed, "The state dict", state)
        return placed.tensors
    rename = {"m2a": gate_key, "tam": tam_key, "mmaction2": tam_key}.get(source, lambda _: None)
    if unknown := [key for key in state if rename(key) is None]:
        raise CheckpointError(
            f"{len(unknown)} of {len(state)} keys are of no mechanism of {known.project} that m2a has: "
            f"{', '.join(unknown[:3])}. Those of a whole network start with {' or '.join(known.starts)}"
        )
    converted: dict[str, Tensor] = {}
    for key, value in state.items():
        put(converted, str(rename(key)), value)
    return converted


def check_placed(placed: Placed, what: str | Path, state: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError that names the parts without a place, if there are any, and the sources by whose rules
    all of `state` has one, where that is no part of them."""
    if not placed.unplaced:
        return
    parts = "".join(f"\n  {left}" for left in placed.unplaced)
    told = f"{what} holds what has no place in m2a:{parts}\n"
    if others := _sources_of(state, besides=placed.source):
        raise CheckpointError(f"{told}All of it has one as the source {' or '.join(others)}: is it a file of that?")
    raise CheckpointError(
        f"{told}To import the rest: allow_unplaced=True (--allow-unplaced). Then "
        f"{consequence(placed.mechanism or 'm2a')}."
    )


def _sources_of(state: Mapping[str, Tensor], *, besides: str) -> list[str]:
    """By whose rules every tensor has a place."""
    found = []
    for source in SOURCES:
        with suppress(CheckpointError):
            if source != besides and not place(state, source).unplaced:
                found.append(source)
    return found
