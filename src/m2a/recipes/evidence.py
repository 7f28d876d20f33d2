"""The pages of results, docs/evidence: the paper's orderings; each table on each set of clips, with the command that
makes it and what made it, of a recipe whose training was changed too; and all changes of models and training, in one
table beside the recipe without them."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from m2a.errors import DataError
from m2a.recipes.ablations import ablations_table
from m2a.recipes.changed_orderings import changed_orderings_table
from m2a.recipes.claims import ZEROS
from m2a.recipes.class_gains import class_gains
from m2a.recipes.groups import Group, Measured, group_results
from m2a.recipes.orderings import orderings_table
from m2a.recipes.paired import setting_of
from m2a.recipes.paper import brief
from m2a.recipes.results import Result
from m2a.recipes.rows import ALL_TABLES, PaperRow, find_row, twins
from m2a.recipes.shared import read_results, share
from m2a.recipes.tables import COMPARE, LEGEND, PAPERS, results_table

NOTHING = "No result is committed yet.\n"
_ZEROS_NOTE = (
    "zeros: zeros follow the last frame, as in the released code, so that its motion is minus the frame; the rows "
    "without it wrap around, as in the text."
)


def read_groups(folder: Path) -> list[Group]:
    """All results below a folder, in groups, in the order of the paper's tables; without those groups that no one ran:
    a few rows that are the same models as other tables' rows. Raises DataError for two groups of one name: results of
    one recipe from before and after a change of its settings."""
    groups = [group for table in ALL_TABLES for group in group_results(read_results(folder, table)) if _was_run(group)]
    refuse_of_one_name(groups)
    return groups


def refuse_of_one_name(groups: Sequence[Group]) -> None:
    """Raises DataError where two groups of a table have one name."""
    names = Counter((group.table, group.name) for group in groups)
    if twice := [f"Table {table}, {name}" for (table, name), number in names.items() if number > 1]:
        raise DataError(
            f"Results of {'; '.join(twice)} were made with other settings, data or weights of the same name. Run the "
            "older ones again with --overwrite, or delete them."
        )


def table_results(groups: Sequence[Group], *tables: str) -> str:
    """The part of a page that shows all results of these tables, in markdown: a section for each set of clips, scale,
    start and change of the training, with links to them and what goes for all of them above."""
    shown = [group for group in groups if group.table in tables and not group.other_models]
    if not shown:
        return NOTHING
    titles = [_title(group, name_table=len(tables) > 1) for group in shown]
    contents = "\n".join(f"- [{title}](#{anchor(title)})" for title in titles)
    sections = [_section(group, _with_zeros(groups, group), title) for group, title in zip(shown, titles, strict=True)]
    return "\n".join([contents, "", " ".join((PAPERS, COMPARE, *LEGEND)), "", *sections])


def changed_results(groups: Sequence[Group]) -> str:
    """The part of a page that shows every row that was run with a change of model or training, in markdown."""
    changed = [group for group in groups if group.changes]
    shown = ablations_table(groups)
    if shown is None:
        return NOTHING
    commands = "\n".join(command_of(group) for group in changed)
    results = [result for group in changed for result in group.results]
    return "\n\n".join((shown.grid(), *shown.notes, _making(results), f"```bash\n{commands}\n```")) + "\n"


def anchor(heading: str) -> str:
    """What a heading is linked by on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def orderings(groups: Sequence[Group]) -> str:
    """The part of the page that says which of the paper's orderings hold, in markdown."""
    if not groups:
        return NOTHING
    shown, changed = orderings_table(groups), changed_orderings_table(groups)
    parts = [shown.grid(), *shown.notes]
    if changed:
        parts += [f"## {changed.title}", changed.grid(), *changed.notes]
    return "\n\n".join(parts) + "\n"


def picture_name(group: Group) -> str:
    """Name of the file of Figure 5."""
    return f"figure-5-{group.name}.png"


def command_of(group: Group) -> str:
    """The command that makes all results of a group, in one line for each choice of seeds; files and folders are where
    you have them."""
    by_seeds: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for row, measured in group.rows:
        if measured is not None:
            by_seeds[measured.seeds].append(row.name)
    return "\n".join(_command(group, names, seeds) for seeds, names in by_seeds.items())


def _command(group: Group, names: Sequence[str], seeds: Sequence[int]) -> str:
    rows = [group.table] if len(names) == len(group.rows) else names
    weights = "none" if group.weights.kind == "random" else group.weights.file or "imagenet"
    words = ["m2a", "paper", "run", *rows, "--data", group.data.name, "--scale", group.scale, "--pretrained", weights]
    for option, value in sorted(group.changes.items()):
        words += _flag(option.replace("_", "-"), value)
    return shlex.join([*words, "--seeds", *map(str, seeds)])


def _was_run(group: Group) -> bool:
    """Whether a result of it was run for its table, or no row is lacking."""
    return any(result.run_as == result.recipe for result in group.results) or all(found for _, found in group.rows)


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, Mapping):
        inside = {f"{name}.{key}": str(x).lower() if isinstance(x, bool) else x for key, x in sorted(value.items())}
        return [word for key, inner in inside.items() for word in _flag(key, inner)]  # there a flag takes a value
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [word for one in (value if isinstance(value, list) else [value]) for word in (f"--{name}", str(one))]


def _title(group: Group, *, name_table: bool) -> str:
    """The clips, the scale, the start and what else was changed, such as "edition-1, small: 4,500 clips of 64 pixels,
    ImageNet weights"."""
    clips = _either(f"{number:,}" for number in {result.num_train for result in group.results})
    sizes = _either(str(size) for size in {result.config["size"] for result in group.results})
    others = brief({option: value for option, value in group.changes.items() if option != "train_clips_per_class"})
    parts = (f"{clips} clips of {sizes} pixels", setting_of(group).weights_named, *([others] if others else []))
    table = f"{group.table}: " if name_table else ""
    return f"{table}{group.data.name}, {group.scale}: {', '.join(parts)}"


def _either(values: Iterable[str]) -> str:
    return " or ".join(sorted(values))


def _with_zeros(groups: Sequence[Group], group: Group) -> Group | None:
    """The same rows with the released code's zeros behind the last frame, run for this table or as the same model for
    another; None where none was."""
    changes = {**group.changes, **ZEROS}
    alike = [other for other in groups if other.changes == changes and other.alike(group, but_for=ZEROS)]
    alike.sort(key=lambda other: other.table != group.table)
    rows: list[tuple[PaperRow, Measured | None]] = []
    results: list[Result] = []
    for row, _ in group.rows:
        names = (row.name, *(twin.name for twin in twins(row)))
        found = [(other, name) for other in alike for name in names if name in other.measured]
        rows.append((row, found[0][0].measured[found[0][1]] if found else None))
        results += [share(result, row) for other, name in found[:1] for result in other.of(name)]
    return replace(group, changes=changes, rows=tuple(rows), results=tuple(results)) if results else None


def _section(group: Group, zeros: Group | None, title: str) -> str:
    both = [group] if zeros is None else [group, zeros]
    shown = results_table(group.table, group, variants={} if zeros is None else {"zeros": zeros})
    commands = "\n".join(map(command_of, both))
    parts = [
        f"## {title}",
        shown.title + ".",
        shown.grid(),
        *(note for note in shown.notes if note not in LEGEND and not note.startswith(PAPERS)),
        *([] if zeros is None else [_ZEROS_NOTE]),
        f"```bash\n{commands}\n```",
        _making([result for one in both for result in one.results]),
    ]
    if gains := class_gains(group):
        rivals = ", ".join(one.rival for one in gains)
        parts += [f"![Top-1 of m2a less that of {rivals}, for each class](../images/{picture_name(group)})"]
    return "\n\n".join(parts) + "\n"


def _making(results: Sequence[Result]) -> str:
    """What the results were made on, and how long it took."""
    times = [result.seconds / 60 for result in results]
    versions = (f"torch {result.versions.get('torch', '?')}" for result in results)
    commits = (f"commit {result.commit or 'unknown'}" for result in results)
    span = f"{min(times):.1f} to {max(times):.1f} minutes each" if len(times) > 1 else f"{times[0]:.1f} minutes"
    others = sum(result.run_as != result.recipe for result in results)
    lent = f", {others} of them for other tables" if others else ""
    tables = {find_row(result.run_as).table for result in results}
    places = (f"[paper/results/{table}](../../paper/results/{table})" for table in ALL_TABLES if table in tables)
    return (
        f"{_counted(result.hardware for result in results)}; {_counted(versions)}; {_counted(commits)}. "
        f"{len(times)} run{'s' * (len(times) > 1)}{lent}, {span}, {sum(times) / 60:.1f} hours in all. From "
        f"{', '.join(places)}."
    )


def _counted(values: Iterable[str]) -> str:
    """`a`, or `a (2 runs), b (1 run)`."""
    found = Counter(values)
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{value} ({number} run{'s' * (number > 1)})" for value, number in sorted(found.items()))
