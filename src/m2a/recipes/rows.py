"""The rows of the paper's Tables I to VI, with what the paper says of them and what its released code costs; and of
tables of our own, with what is not in the paper.

Figures of the paper: *M2A: Motion Aware Attention for Accurate Video Action Recognition*, on Something-Something V1,
8 frames of 224 x 224 pixels, from ImageNet weights. Costs of the released code: measured on it, for one such clip and
174 classes.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2a.errors import ConfigError

if TYPE_CHECKING:
    from m2a.mechanisms import MechanismSpec


@dataclass(frozen=True, kw_only=True)
class Network:
    """What a mechanism is put into."""

    backbone: str
    """A timm model name."""
    inflate: bool = False
    """Whether it is made a 3D network."""

    def __str__(self) -> str:
        return f"{self.backbone} inflated (I3D)" if self.inflate else self.backbone


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a row costs in the released code; None is not measured."""

    gmacs: float
    """Convolutions and matrix products only, as `m2a.count_macs` counts."""
    gmacs_with_norms: float | None = None
    """Normalisation, activations and pooling too (ptflops 0.7), as the paper counted."""
    parameters_million: float | None = None


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """One row of one table."""

    table: str
    mechanism: str
    network: Network
    gmacs: float | None = None
    top1: float | None = None
    top5: float | None = None

    @property
    def name(self) -> str:
        """The recipe's name, such as "I/m2a"."""
        return f"{self.table}/{self.mechanism}"

    @property
    def spec(self) -> MechanismSpec:
        """The mechanism, parsed: tables spell the same one in several ways. Takes the mechanisms, and so torch."""
        from m2a.mechanisms import parse_spec

        return parse_spec(self.mechanism)

    @property
    def released(self) -> Cost | None:
        """What the released code costs, where it was measured."""
        return RELEASED[self.network].get(str(self.spec))


RESNET = Network(backbone="resnet18")
MOBILENET = Network(backbone="mobilenetv2_100")
I3D = Network(backbone="resnet18", inflate=True)


def _rows(
    table: str, network: Network, *rows: tuple[str, float | None, float | None, float | None]
) -> tuple[PaperRow, ...]:
    return tuple(
        PaperRow(table=table, network=network, mechanism=mechanism, gmacs=gmacs, top1=top1, top5=top5)
        for mechanism, gmacs, top1, top5 in rows
    )


TABLES: Mapping[str, tuple[PaperRow, ...]] = {
    "I": _rows(
        "I",
        RESNET,
        ("none", 14.57, 13.9, 38.9),
        ("m2a-attention", 14.79, 16.9, 42.0),
        ("m2a-motion", 14.79, 28.9, 56.7),
        ("m2a", 14.81, 34.7, 63.4),
    ),
    "II": _rows(
        "II",
        MOBILENET,
        ("none", 2.55, 13.8, 37.8),
        ("m2a-attention", 2.58, 13.3, 37.2),
        ("m2a-motion", 2.58, 32.0, 60.6),
        ("m2a", 2.58, 35.6, 64.4),
    ),
    "III": _rows(
        "III",
        I3D,
        ("none", 22.52, 27.0, 53.5),
        ("m2a-attention", 22.65, 26.9, 54.1),
        ("m2a-motion", 22.65, 26.3, 53.6),
        ("m2a", 22.67, 27.1, 53.5),
    ),
    "IV": _rows(
        "IV",
        RESNET,
        ("m2a", None, 34.7, None),
        ("m2a:tam", None, 31.6, None),
        ("m2a:patch4", None, 31.9, None),
        ("m2a:patch8", None, 34.2, None),
    ),
    "V": _rows(
        "V",
        RESNET,
        ("m2a+tsm", 14.81, 39.3, None),
        ("tsm", 14.57, 39.0, None),
        ("m2a", 14.81, 34.7, None),
        ("tea", 14.83, 34.3, None),
        ("tdn", 15.13, 28.6, None),
        ("tam", 14.79, 21.0, None),
    ),
    "VI": _rows(
        "VI",
        RESNET,
        ("none", None, 13.9, None),
        ("none:m2a", None, 16.9, None),
        ("none:tam", None, 21.0, None),
        ("m2a:none", None, 28.9, None),
        ("m2a:m2a", None, 34.7, None),
        ("m2a:tam", None, 31.6, None),
        ("tdn:none", None, 28.6, None),
        ("tdn:m2a", None, 29.0, None),
        ("tdn:tam", None, 25.3, None),
        ("tea:none", None, 34.3, None),
        ("tea:m2a", None, 33.9, None),
        ("tea:tam", None, 33.3, None),
    ),
}
"""The rows of each of the paper's tables, with its figures, and of our own two."""

OWN_TABLES: Mapping[str, tuple[PaperRow, ...]] = {
    "R18": _rows(
        "R18",
        RESNET,
        ("none", 14.57, 13.9, 38.9),
        ("tsm", 14.57, 39.0, None),
        ("m2a", 14.81, 34.7, 63.4),
        ("m2a+tsm", 14.81, 39.3, None),
        ("m2a-plus", None, None, None),
        ("none:m2a-plus", None, None, None),
    ),
    "MV2": _rows(
        "MV2",
        MOBILENET,
        ("none", 2.55, 13.8, 37.8),
        ("tsm", None, None, None),
        ("m2a", 2.58, 35.6, 64.4),
        ("m2a+tsm", None, None, None),
        ("m2a-plus", None, None, None),
        ("none:m2a-plus", None, None, None),
    ),
}
"""Not the paper's: M2A-plus beside M2A, TSM and both of them in two networks, and without its motion. Figures are
the paper's where it has the row."""
ALL_TABLES: Mapping[str, tuple[PaperRow, ...]] = {**TABLES, **OWN_TABLES}

RELEASED: Mapping[Network, Mapping[str, Cost]] = {
    RESNET: {
        "none": Cost(gmacs=14.5092, gmacs_with_norms=14.5991, parameters_million=11.2658),
        "m2a-attention": Cost(gmacs=14.7296, gmacs_with_norms=14.8278),
        "m2a-motion": Cost(gmacs=14.7147, gmacs_with_norms=14.8130),
        "m2a": Cost(gmacs=14.7296, gmacs_with_norms=14.8278, parameters_million=11.3770),
        "m2a+tsm": Cost(gmacs=14.7296, gmacs_with_norms=14.8278),
        "tsm": Cost(gmacs=14.5092, gmacs_with_norms=14.5991),
        "tea": Cost(gmacs=14.7488, gmacs_with_norms=14.8508, parameters_million=11.3931),
        "tdn": Cost(gmacs=15.0487, gmacs_with_norms=15.1628, parameters_million=11.5171),
        "tam": Cost(gmacs=14.7178, gmacs_with_norms=14.8142, parameters_million=11.4064),
        "m2a:tam": Cost(gmacs=14.7178),
        "m2a:patch4": Cost(gmacs=15.3176),
        "m2a:patch8": Cost(gmacs=17.6354),
        "tdn:m2a": Cost(gmacs=15.0636),
        "tdn:tam": Cost(gmacs=15.0517),
        "tea:m2a": Cost(gmacs=14.7636),
        "tea:tam": Cost(gmacs=14.7518),
    },
    MOBILENET: {
        "none": Cost(gmacs=2.3977, gmacs_with_norms=2.5534, parameters_million=2.4468),
        "m2a-attention": Cost(gmacs=2.4251, gmacs_with_norms=2.5827),
        "m2a-motion": Cost(gmacs=2.4216, gmacs_with_norms=2.5793),
        "m2a": Cost(gmacs=2.4251, gmacs_with_norms=2.5827, parameters_million=2.4688),
        "tsm": Cost(gmacs=2.3977),
        "tea": Cost(gmacs=2.4266),
        "tdn": Cost(gmacs=2.4613),
        "tam": Cost(gmacs=2.4223),
    },
    I3D: {
        "none": Cost(gmacs=22.4725),
        "m2a-attention": Cost(gmacs=22.6019),
        "m2a-motion": Cost(gmacs=22.5913),
        "m2a": Cost(gmacs=22.6019),
    },
}


def list_recipes(table: str | None = None) -> list[str]:
    """The names of all rows, or of one table's. Raises ConfigError for a table that is not there."""
    tables = ALL_TABLES.values() if table is None else [find_table(table)]
    return [row.name for rows in tables for row in rows]


def find_table(name: str) -> tuple[PaperRow, ...]:
    """The rows of a table, in the paper's order. Raises ConfigError when the paper has no such table."""
    if name not in ALL_TABLES:
        raise ConfigError(
            f"There is no Table {name!r}. The tables are {', '.join(TABLES)}, the paper's, and {', '.join(OWN_TABLES)}."
        )
    return ALL_TABLES[name]


def find_row(name: str) -> PaperRow:
    """The row of a recipe's name. Raises ConfigError, with near names, when there is none."""
    rows = {row.name: row for table in ALL_TABLES.values() for row in table}
    if name in rows:
        return rows[name]
    table, _, mechanism = name.partition("/")
    if table in ALL_TABLES:
        within = [row.mechanism for row in ALL_TABLES[table]]
        near = [f"{table}/{found}" for found in difflib.get_close_matches(mechanism, within, n=3)]
        allowed = f"Table {table} has {', '.join(within)}"
    else:
        near = difflib.get_close_matches(name, rows, n=3)
        near += [] if near else [row for row in rows if row.partition("/")[2] == name]
        allowed = f"A name is TABLE/MECHANISM, with the tables {', '.join(ALL_TABLES)}"
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ConfigError(f"There is no row {name!r}.{hint} {allowed}; m2a paper list shows them all.")


def find_rows(names: list[str]) -> list[PaperRow]:
    """The rows of names of rows and of whole tables, each row once. Raises ConfigError."""
    rows = [row for name in names for row in (ALL_TABLES[name] if name in ALL_TABLES else [find_row(name)])]
    return list(dict.fromkeys(rows))


def twins(row: PaperRow) -> list[PaperRow]:
    """The rows of other tables that are the same model, in the paper's order: one network, one mechanism however it is
    spelt. Takes torch, as `PaperRow.spec` does."""
    others = [other for table, rows in ALL_TABLES.items() if table != row.table for other in rows]
    return [other for other in others if (other.network, other.spec) == (row.network, row.spec)]
