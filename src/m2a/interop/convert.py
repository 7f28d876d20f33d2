"""Keys of other projects as ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from m2a.errors import CheckpointError
from m2a.interop.keys import gate_key, tam_key
from m2a.interop.place import is_network, place, put
from m2a.interop.placed import Placed
from m2a.interop.report import consequence
from m2a.interop.sources import find_source


def convert_state_dict(state_dict: Mapping[str, Tensor], source: str = "m2a") -> dict[str, Tensor]:
    """The state of one mechanism, or of a whole network as a `VideoClassifier` has it.

    Args:
        state_dict: as the source's training saved it, `module.` in front or not.
        source: "m2a" (the released code), "tsm", "tam", "tea" or "tdn".

    Raises:
        ConfigError: another source.
        CheckpointError: two keys fall on one name, or keys have no place here; they are named.
    """
    known = find_source(source)
    state = {key.removeprefix("module."): value for key, value in state_dict.items()}
    if is_network(state):
        placed = place(state, source)
        check_placed(placed, "The state dict")
        return placed.tensors
    rename = {"m2a": gate_key, "tam": tam_key}.get(source, lambda _: None)
    if unknown := [key for key in state if rename(key) is None]:
        raise CheckpointError(
            f"{len(unknown)} of {len(state)} keys are of no mechanism of {known.project} that m2a has: "
            f"{', '.join(unknown[:3])}. A whole network's keys start with base_model., model. or new_fc."
        )
    converted: dict[str, Tensor] = {}
    for key, value in state.items():
        put(converted, str(rename(key)), value)
    return converted


def check_placed(placed: Placed, what: str | Path) -> None:
    """Raises CheckpointError that names the parts without a place, if there are any."""
    if placed.unplaced:
        parts = "".join(f"\n  {left}" for left in placed.unplaced)
        raise CheckpointError(
            f"{what} holds what has no place in m2a:{parts}\nTo import the rest: allow_unplaced=True "
            f"(--allow-unplaced). Then {consequence(placed.mechanism or 'm2a')}."
        )
