"""What the paper's rows cost: the paper's figure, the released code's and ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from m2a.measurement import count_macs, count_parameters
from m2a.models import create_model
from m2a.recipes.rows import PaperRow
from m2a.recipes.tables import NONE, TextTable, number, row_content

TOLERANCE = 0.1
"""Percent that a row may differ from the released code."""
NUM_CLASSES = 174
_HEAD = (
    "mechanism",
    "paper\nGMACs",
    "released,\nall",
    "released\nGMACs",
    "here\nGMACs",
    "off,\n%",
    "released\nM par.",
    "here\nM par.",
)
NOTES = (
    "GMACs of one clip, 8 x 224 x 224, 174 classes. 'released' and 'here' count convolutions and matrix products. "
    "'released, all' is the released code with normalisation, activations and pooling counted too (ptflops 0.7), as "
    "the paper counted: that is why the paper's figures are higher than those here.",
    "Against 'released, all' the paper's Table II agrees to the digit; Table I is lower, by 0.03 (none), 0.04 "
    "(m2a-attention) and 0.02 (m2a-motion, m2a), and Table V by 0.02 to 0.03. In Tables I and III the paper has "
    "m2a-attention 0.02 below m2a, where the released code takes the same for both. Table III was not counted that "
    "way: the paper's figures, 22.52 and on, are 0.05 to 0.07 above convolutions and matrix products alone.",
)


@dataclass(frozen=True, kw_only=True)
class RowCost:
    """One row's cost here."""

    row: PaperRow
    macs: int
    parameters: int

    @property
    def macs_off(self) -> float | None:
        """Percent above the released code; None where that was not measured."""
        released = self.row.released
        return None if released is None else _off(self.macs / 1e9, released.gmacs)

    @property
    def parameters_off(self) -> float | None:
        """Likewise."""
        released = self.row.released
        if released is None or released.parameters_million is None:
            return None
        return _off(self.parameters / 1e6, released.parameters_million)

    @property
    def agrees(self) -> bool:
        """Whether nothing that was measured is off by more than `TOLERANCE`."""
        return all(off is None or abs(off) <= TOLERANCE for off in (self.macs_off, self.parameters_off))

    def content(self) -> dict[str, Any]:
        """Plain values."""
        released = self.row.released
        return row_content(self.row) | {
            "released": None
            if released is None
            else {
                "gmacs": released.gmacs,
                "gmacs_with_norms": released.gmacs_with_norms,
                "parameters_million": released.parameters_million,
            },
            "macs": self.macs,
            "parameters": self.parameters,
            "macs_off_percent": self.macs_off,
            "parameters_off_percent": self.parameters_off,
            "agrees": self.agrees,
        }


def measure_costs(rows: Sequence[PaperRow]) -> list[RowCost]:
    """Counts every row at the paper's size, without weights; each distinct network and mechanism once."""
    counted: dict[tuple[Any, str], tuple[int, int]] = {}
    for row in rows:
        key = (row.network, row.mechanism)
        if key not in counted:
            with torch.device("meta"):
                model = create_model(
                    row.network.backbone,
                    mechanism=row.mechanism,
                    num_classes=NUM_CLASSES,
                    inflate=row.network.inflate,
                )
            counted[key] = (count_macs(model, size=224), count_parameters(model))
    return [
        RowCost(row=row, macs=macs, parameters=n) for row in rows for macs, n in [counted[row.network, row.mechanism]]
    ]


def costs_table(costs: Sequence[RowCost]) -> TextTable:
    """The costs of one table's rows."""
    row = costs[0].row
    return TextTable(title=f"Table {row.table}, {row.network}", head=_HEAD, rows=tuple(map(_cells, costs)))


def _cells(cost: RowCost) -> tuple[str, ...]:
    released = cost.row.released
    return (
        cost.row.mechanism,
        number(cost.row.gmacs, 2),
        number(released.gmacs_with_norms, 2) if released else NONE,
        number(released.gmacs, 4) if released else NONE,
        number(cost.macs / 1e9, 4),
        NONE if cost.macs_off is None else f"{cost.macs_off:+.2f}",
        number(released.parameters_million, 3) if released else NONE,
        number(cost.parameters / 1e6, 3),
    )


def _off(ours: float, theirs: float) -> float:
    return 100 * (ours / theirs - 1)
