"""How many seeds of each row were run on each set of clips: what there is, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from m2a.recipes.claims import ZEROS, Column
from m2a.recipes.groups import Group
from m2a.recipes.paired import setting_of
from m2a.recipes.rows import ALL_TABLES
from m2a.recipes.tables import NONE, TextTable


def coverage_table(groups: Sequence[Group], columns: Sequence[Column]) -> TextTable:
    """Every row of every table, and its seeds in each of these settings, those with zeros apart; a model that stands in
    several tables counts in each."""
    return TextTable(
        title="Seeds of each row",
        head=("row", *(column.title for column in columns)),
        rows=tuple(
            (row.name, *(_cell(groups, row.name, column) for column in columns))
            for rows in ALL_TABLES.values()
            for row in rows
        ),
    )


def _cell(groups: Sequence[Group], row: str, column: Column) -> str:
    plain, zeros = (_seeds(groups, row, one) for one in (column, column.changed(ZEROS)))
    return " + ".join([str(plain)] * bool(plain) + [f"{zeros}z"] * bool(zeros)) or NONE


def _seeds(groups: Sequence[Group], row: str, column: Column) -> int:
    return len({result.seed for group in groups if column.holds(setting_of(group)) for result in group.of(row)})
