"""The paper's tables with what was measured beside them, as cells of text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from m2a.recipes.groups import Group, Measured
from m2a.recipes.results import DataInfo
from m2a.recipes.rows import PaperRow, find_table
from m2a.recipes.scales import SCALES

NONE = "-"
LEGEND = (
    "top-1, top-5: mean over seeds ± 95% interval of the mean (Student's t); one seed has no interval.",
    "shuffled: top-1 of the same clips with their frames in a random order.",
)
"""Below every table of results."""
PAPERS = "The paper: Something-Something V1, 174 classes, 224 pixels, ImageNet weights."
PAPERS_CLIPS = {"train": 86_017, "validation": 11_522}
COMPARE = "Compare the order of rows, not figures."
"""Below those that were not made as the paper's were."""
_HEAD = (
    "mechanism",
    "paper\nGMACs",
    "paper\ntop-1",
    "paper\ntop-5",
    "here\nGMACs",
    "here\ntop-1",
    "here\ntop-5",
    "here,\nshuffled",
    "seeds",
)


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table to show."""

    title: str
    head: tuple[str, ...]
    """May be broken into lines."""
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    """How many columns on the left hold words, not figures."""
    words_right: int = 0
    """How many on the right do."""
    notes: tuple[str, ...] = ()

    def of_words(self, column: int) -> bool:
        return column < self.words or column >= len(self.head) - self.words_right

    def markdown(self) -> str:
        """In markdown, with the title above and the notes below."""
        return "\n\n".join((f"**{self.title}**", self.grid(), *self.notes)) + "\n"

    def grid(self) -> str:
        """The table alone, in markdown."""
        lines = [
            (head.replace("\n", " ") for head in self.head),
            ("---" if self.of_words(column) else "---:" for column in range(len(self.head))),
            *self.rows,
        ]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int) -> str:
    """A figure, or "-" where there is none."""
    return NONE if value is None else f"{value:.{digits}f}"


def seeds_named(seeds: Sequence[int]) -> str:
    """`seed 0`, or `seeds 0, 1`."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def results_table(table: str, group: Group | None, *, variants: Mapping[str, Group] | None = None) -> TextTable:
    """The paper's rows, and what a group of results measured; without one, the paper's alone. Below a row, by what they
    are called, the same with a change that another group has."""
    rows = group.rows if group else tuple((row, None) for row in find_table(table))
    network = rows[0][0].network
    cells = []
    for row, measured in rows:
        cells.append((row.mechanism, *_paper(row), *_here(measured)))
        for name, other in (variants or {}).items():
            if found := other.measured.get(row.name):
                cells.append((f"{row.mechanism}, {name}", *(NONE,) * 3, *_here(found)))
    return TextTable(
        title=f"Table {table}, {network}: " + (group.title if group else "no results yet"),
        head=_HEAD,
        rows=tuple(cells),
        notes=_notes(group) if group else (f"To measure a row: m2a paper run {rows[0][0].name} --data DIR",),
    )


def table_content(group: Group) -> dict[str, Any]:
    """A group as plain values."""
    return {
        "scale": group.scale,
        "data": {"name": group.data.name, "classes": group.data.classes, "clips": group.data.clips}
        | {"fingerprint": group.data.fingerprint},
        "changes": group.changes,
        "weights": asdict(group.weights),
        "ceiling": group.ceiling,
        "rows": [row_content(row) | {"measured": _content(measured)} for row, measured in group.rows],
    }


def recipes_table(rows: Sequence[PaperRow]) -> TextTable:
    """Rows by name, with the paper's figures."""
    return TextTable(
        title="The paper's rows: Something-Something V1, 8 frames of 224 x 224 pixels",
        head=("name", "network", "GMACs", "top-1, %", "top-5, %"),
        rows=tuple((row.name, str(row.network), *_paper(row)) for row in rows),
        words=2,
        notes=tuple(f"--scale {scale.name}: {scale.summary}" for scale in SCALES.values()),
    )


def row_content(row: PaperRow) -> dict[str, Any]:
    """A row of the paper as plain values."""
    return {
        "recipe": row.name,
        "mechanism": row.mechanism,
        "backbone": row.network.backbone,
        "inflate": row.network.inflate,
        "paper": {"gmacs": row.gmacs, "top1": row.top1, "top5": row.top5},
    }


def _here(measured: Measured | None) -> tuple[str, ...]:
    if measured is None:
        return (NONE,) * 5
    top1, shuffled = measured.top1, measured.probes["shuffled"]
    return number(measured.macs / 1e9, 3), str(top1), str(measured.top5), str(shuffled), str(top1.n)


def _paper(row: PaperRow) -> tuple[str, ...]:
    return number(row.gmacs, 2), number(row.top1, 1), number(row.top5, 1)


def _content(measured: Measured | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    content: dict[str, Any] = {"n": len(measured.seeds), "seeds": list(measured.seeds)}
    estimates = {"top1": measured.top1, "top5": measured.top5, **measured.probes}
    for name, value in estimates.items():
        content |= {name: value.mean, f"{name}_half_width": value.half_width}
    run_as = {recipe: list(seeds) for recipe, seeds in measured.run_as.items()}
    return content | {"run_as": run_as, "macs": measured.macs, "parameters": measured.parameters}


def _notes(group: Group) -> tuple[str, ...]:
    notes = []
    sizes = {result.config["size"] for result in group.results}
    if group.scale != "paper" or not is_the_papers(group.data) or group.changes:
        notes.append(
            f"{PAPERS} Here: {group.data.name}, {group.data.classes} classes, {_joined(sizes)} pixels, "
            f"{group.weights}. {COMPARE}"
        )
    elif group.weights.kind == "random":
        notes.append("The paper starts from ImageNet weights, these rows from random ones.")
    notes += LEGEND
    if group.ceiling is not None and group.ceiling < 100:
        notes.append(f"Blind to the order of frames, {group.ceiling:.1f}% is the most one can expect.{_blind(group)}")
    if shared := [told for row, measured in group.rows if measured and (told := _shared(row, measured))]:
        notes.append(f"A row that is the same model as another table's shows the runs of that one. {' '.join(shared)}")
    if skipped := sum(len(result.skipped) for result in group.results):
        notes.append(f"Validation clips that could not be decoded, over all runs: {skipped}; the results name them.")
    return tuple(notes)


def is_the_papers(data: DataInfo) -> bool:
    """Whether it is Something-Something V1 as it was published; V2 has as many classes."""
    counts = {split: data.clips.get(split) for split in PAPERS_CLIPS}
    return data.drawing is None and data.classes == 174 and counts == PAPERS_CLIPS


def is_blind(row: PaperRow, options: Mapping[str, Any]) -> bool:
    """Whether a row, with these options of its mechanism, gives a clip and its reverse the same scores, whatever it
    learns."""
    return not row.network.inflate and _symmetry(row.mechanism, json.dumps(options)) != "none"


@cache
def _symmetry(mechanism: str, options: str) -> str:
    """`time_symmetry`, which tries it, of options as JSON; pages ask for the same few mechanisms hundreds of times."""
    from m2a.mechanisms import time_symmetry  # takes torch

    return time_symmetry(mechanism, **json.loads(options))


def _blind(group: Group) -> str:
    """The rows for which that is a ceiling whatever they learn; empty where there are none."""
    options = group.changes.get("mechanism_options", {})
    blind = [row.mechanism for row, found in group.rows if found and is_blind(row, options)]
    if not blind:
        return ""
    *others, last = blind
    named = f"{', '.join(others)} and {last}, which give" if others else f"{last}, which gives"
    return f" It is a ceiling for {named} a clip and its reverse the same scores."


def _shared(row: PaperRow, measured: Measured) -> str:
    """Which rows of other tables its runs were of; empty where all were its own."""
    told = [
        f"{recipe} ({seeds_named(seeds)})" if len(measured.run_as) > 1 else recipe
        for recipe, seeds in measured.run_as.items()
        if recipe != row.name
    ]
    return f"{row.mechanism}: run as {' and '.join(told)}." if told else ""


def _joined(values: Sequence[Any] | set[Any]) -> str:
    return ", ".join(sorted(map(str, values)))
