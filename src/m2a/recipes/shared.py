"""The results of a table: those that were run for it, and those of rows of other tables that are the same model."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2a.errors import DataError
from m2a.recipes.results import Result, read_result, result_path
from m2a.recipes.rows import ALL_TABLES, PaperRow, find_table, twins


@dataclass(frozen=True, kw_only=True)
class SharedResult(Result):
    """A result of another table's row that is the same model, as one of a row of this table."""

    origin: str
    """The row it was run as."""

    @property
    def run_as(self) -> str:
        return self.origin


def read_results(folder: Path, table: str) -> list[Result]:
    """Every result of a table, and after them those of the same models from the folders of other tables, as results of
    this table's rows: where it has none of its own with that seed and those settings, the first in the paper's order.

    Raises DataError when a file cannot be used, in the other folders too, or two files hold the same run.
    """
    found: dict[tuple[Any, ...], Result] = {_run(result): result for result in _read_folder(folder, table)}
    for result in _read_shared(folder, table):
        found.setdefault(_run(result), result)
    return list(found.values())


def find_shared(
    folder: Path, row: PaperRow, group: tuple[str, ...], *, among: Collection[Path] | None = None, **settings: Any
) -> tuple[Path, SharedResult] | None:
    """The result of another table's row that is the same model, as one of this row, with its file; None where there is
    none of this group.

    Args:
        folder: of the results.
        group: what the result of the row would be comparable with; see `Result.group`.
        among: the only files to look at; all if None.
        settings: of the run, as for `run_name`, among them its seed.

    Raises DataError when the file of such a row cannot be used.
    """
    for twin in twins(row):
        path = result_path(folder, twin, **settings)
        if path.is_file() and (among is None or path in among):
            result = read_result(path)
            shared = share(result, row)
            if (result.recipe, result.seed, shared.group) == (twin.name, settings["seed"], group):
                return path, shared
    return None


def _read_folder(folder: Path, table: str) -> list[Result]:
    """The results that were run for a table."""
    find_table(table)
    found: dict[tuple[Any, ...], Path] = {}
    results = []
    for path in sorted((folder / table).glob("*.json")):
        result = read_result(path)
        if result.table != table:
            raise DataError(f"{path} is a result of Table {result.table}. Move it to {folder / result.table}.")
        run = _run(result)
        if run in found:
            raise DataError(
                f"{path} and {found[run]} are both {result.recipe} with seed {result.seed}; delete one of them."
            )
        found[run] = path
        results.append(result)
    return results


def _read_shared(folder: Path, table: str) -> Iterator[SharedResult]:
    """What other tables have of the same models, row by row. Where they have nothing, torch is not imported."""
    stocked = [other for other in ALL_TABLES if other != table and any((folder / other).glob("*.json"))]
    rows = find_table(table) if stocked else ()
    pairs = [(row, twin) for row in rows for twin in twins(row) if twin.table in stocked]
    results = {other: _read_folder(folder, other) for other in {twin.table for _, twin in pairs}}
    for row, twin in pairs:
        yield from (share(result, row) for result in results[twin.table] if result.recipe == twin.name)


def share(result: Result, row: PaperRow) -> SharedResult:
    """A result as one of `row`, which is the same model."""
    labels = {"recipe": row.name, "table": row.table, "mechanism": row.mechanism, "origin": result.run_as}
    return SharedResult(**vars(result) | labels)


def _run(result: Result) -> tuple[Any, ...]:
    """The same for no two results of a table."""
    return (*result.group, result.recipe, result.seed)
