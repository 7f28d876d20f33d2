"""Puts paper/results/<table>/*.json, which `m2a paper run` writes, into README.md, docs/evidence.md and the pages of
docs/evidence, with those of paper/repeats, the same runs made again elsewhere, beside them, and draws the paper's
Figure 5 into docs/images.

python scripts/paper_tables.py [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from m2a.estimate import estimate
from m2a.recipes.claims import ZEROS, Column, claims_table
from m2a.recipes.class_gains import class_gains
from m2a.recipes.coverage import coverage_table
from m2a.recipes.evidence import NOTHING, changed_results, orderings, picture_name, read_groups, table_results
from m2a.recipes.groups import Group
from m2a.recipes.paired import Gain, paired_gain, setting_of
from m2a.recipes.paper import brief
from m2a.recipes.results import Result
from m2a.recipes.tables import NONE, TextTable

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "paper" / "results"
REPEATS = ROOT / "paper" / "repeats"
PICTURES = ROOT / "docs" / "images"
MODELS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("averaging", "I/none", {}),
    ("M2A", "I/m2a", {}),
    ("M2A, zeros", "I/m2a", ZEROS),
    ("TSM", "V/tsm", {}),
    ("m2a-plus", "R18/m2a-plus", {}),
    ("m2a-plus without motion", "R18/none:m2a-plus", {}),
)
"""Its columns: the row of the paper's tables, and what was changed in its model."""
FULL = Column(title="edition 1, 10,000 clips", data="edition-1", scale="medium")
SOME = Column(title="edition 1, 4,500 clips", data="edition-1", scale="small", changes={"train_clips_per_class": 150})
FEW = Column(title="edition 1, 1,500 clips", data="edition-1", scale="small")
FROM_RANDOM = replace(FULL, title="edition 1, 10,000 clips, random weights", random=True)
WORDS = Column(title="words, 2,374 clips", data="grid_s1_words", scale="small", changes={"train_clips_per_class": 200})
FEW_WORDS = Column(title="words, 600 clips", data="grid_s1_words", scale="small")
WORDS_FROM_RANDOM = replace(WORDS, title="words, 2,374 clips, random weights", random=True, changes={"epochs": 12})
GESTURES = Column(title="hand gestures, 606 clips", data="nv_hand_skeleton", scale="small")
EASY = Column(title="easy drawn clips, 1,200, random weights", data="synthetic", scale="small", random=True)
CLAIMS: Mapping[str, tuple[Column, ...]] = {
    "Drawn actions and words, from ImageNet weights": (FULL, SOME, WORDS, FEW_WORDS),
    "Few drawn actions and hand gestures, from ImageNet weights; and random weights": (
        FEW,
        GESTURES,
        FROM_RANDOM,
        WORDS_FROM_RANDOM,
        EASY,
    ),
}
"""The tables of claims, and their columns."""
COVERED = (FULL, SOME, FEW, FROM_RANDOM, WORDS, FEW_WORDS, WORDS_FROM_RANDOM, GESTURES, EASY)
"""The columns of the table that says what was run."""
ACROSS = (
    ("V/tam", "I/m2a"),
    ("V/tsm", "V/tam"),
    ("V/tsm", "V/tea"),
    ("I/m2a", "V/tdn"),
    ("I/m2a-motion", "I/none"),
    ("I/m2a-attention", "I/none"),
    ("R18/m2a-plus", "I/m2a"),
    ("R18/m2a-plus", "V/tsm"),
)
"""Rows that were run on all words on different machines, of which one was run again on the other's."""
OVERVIEW: Mapping[str, Column] = {
    "edition 1: 30 drawn actions, each with its reverse": FULL,
    "edition 1, fewer and smaller clips": SOME,
    "edition 1, fewest clips": FEW,
    "edition 1, random weights": FROM_RANDOM,
    "words: 12 of one speaker (real)": FEW_WORDS,
    "words, all clips": WORDS,
    "words, random weights": WORDS_FROM_RANDOM,
    "hand gestures: 17, drawn as skeletons (real)": GESTURES,
    "easy drawn clips: 6 actions, random weights": EASY,
}
"""The rows of the overview, and what it says of their clips."""


def overview(groups: Sequence[Group]) -> str:
    """Top-1 of the most important models on every set of clips."""
    rows = []
    for clips, column in OVERVIEW.items():
        measured = [_results_of(groups, column.changed(change), row) for _, row, change in MODELS]
        sizes = {(result.num_train, result.config["size"]) for results in measured for result in results}
        named = "".join(f": {clips_used:,} clips, {pixels} pixels" for clips_used, pixels in sizes)
        cells = (_mean(results) if results else NONE for results in measured)
        rows.append((f"{clips}{named}", *cells))
    return TextTable(title="", head=("top-1, %", *(name for name, _, _ in MODELS)), rows=tuple(rows)).grid() + "\n"


def _mean(results: Sequence[Result]) -> str:
    """With how many seeds, where it is not the three that all rows should have."""
    number = {1: " (1 seed)", 2: " (2 seeds)"}.get(len(results), "")
    return f"{estimate([result.top1 for result in results])}{number}".replace(" ", "\N{NO-BREAK SPACE}")


def repeats(groups: Sequence[Group], folder: Path = REPEATS) -> str:
    """Runs that were made twice, on different machines, with what each gave."""
    first = {_identity(group, result): result for group in groups for result in group.results}
    pairs = [
        (first[_identity(group, again)], again)
        for group in read_groups(folder)
        for again in group.results
        if again.run_as == again.recipe
    ]
    cells = [
        (again.recipe, brief(again.changes), str(again.seed), *_twice(once.top1, again.top1)) for once, again in pairs
    ]
    head = ("row", "change", "seed", "once", "again", "difference")
    shown = TextTable(title="", head=head, rows=tuple(cells), words=2).grid()
    difference = estimate([again.top1 - once.top1 for once, again in pairs])
    once_on, again_on = _machines([once for once, _ in pairs]), _machines([again for _, again in pairs])
    note = f"once: {once_on}; again: {again_on}. Again less once, over all {len(pairs)}: {difference} points."
    return f"{shown}\n\n{note}\n"


def one_machine(groups: Sequence[Group], folder: Path = REPEATS) -> str:
    """Differences between rows that were run on two machines, and with the one that was run again beside the other."""
    names = {name for pair in ACROSS for name in pair}
    once = {name: _results_of(groups, WORDS, name) for name in names}
    repeated = read_groups(folder)
    again = {name: _results_of(repeated, WORDS, name) or once[name] for name in names}
    cells = []
    for ours, theirs in ACROSS:
        apart = paired_gain(once[ours], once[theirs])
        together = paired_gain(again[ours], again[theirs])
        if apart and together:
            cells.append((f"{ours} less {theirs}", _verdict(apart), _verdict(together)))
    head = ("difference", "in the tables", "on one machine")
    return TextTable(title="", head=head, rows=tuple(cells), words=1).grid() + "\n"


def _results_of(groups: Sequence[Group], column: Column, row: str) -> list[Result]:
    """Of a row on a set of clips, as it was run for its own table."""
    held = (group for group in groups if column.holds(setting_of(group)))
    return [result for group in held for result in group.of(row) if result.run_as == result.recipe]


def _verdict(gain: Gain) -> str:
    return f"{gain} {('open', '**above**', '**below**')[gain.side]}"


def _twice(once: float, again: float) -> tuple[str, str, str]:
    return f"{once:.1f}", f"{again:.1f}", f"{again - once:+.1f}"


def _machines(results: Sequence[Result]) -> str:
    return " or ".join(sorted({f"{result.hardware}, torch {result.versions['torch']}" for result in results}))


def _identity(group: Group, result: Result) -> tuple[Any, ...]:
    return (result.recipe, result.seed, group.scale, str(group.data), group.weights.group, brief(group.changes))


def _results(*tables: str) -> Block:
    return lambda groups: table_results(groups, *tables)


def claims(groups: Sequence[Group]) -> str:
    """The paper's orderings at a glance."""
    tables = [claims_table(groups, title, columns) for title, columns in CLAIMS.items()]
    return (
        "\n\n".join(f"**{table.title}**\n\n{table.grid()}" for table in tables if table.rows) + "\n"
        if groups
        else NOTHING
    )


def coverage(groups: Sequence[Group]) -> str:
    """What was run, and what was not."""
    return coverage_table(groups, COVERED).grid() + "\n"


Block = Callable[[Sequence[Group]], str]
PAPER = ("I", "II", "III", "IV", "V", "VI")
DOCS = ROOT / "docs"
PAGES: Mapping[Path, Mapping[str, Block]] = {
    ROOT / "README.md": {"overview": overview},
    DOCS / "evidence.md": {"overview": overview, "claims": claims},
    DOCS / "evidence" / "how-it-was-run.md": {"repeats": repeats, "one-machine": one_machine, "coverage": coverage},
    DOCS / "evidence" / "orderings.md": {"orderings": orderings},
    **{DOCS / "evidence" / f"table-{name.lower()}.md": {"results": _results(name)} for name in PAPER},
    DOCS / "evidence" / "m2a-plus.md": {"results": _results("R18", "MV2")},
    DOCS / "evidence" / "changes.md": {"results": changed_results},
}
"""What makes the text between the marks of each name, by page."""


def render(page: str, groups: Sequence[Group], blocks: Mapping[str, Block]) -> str:
    """The page with what is between its marks made anew."""
    for name, write in blocks.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        parts = re.split(f"{begin}.*?{end}", page, flags=re.DOTALL)
        if len(parts) != 2:
            sys.exit(f"The page must have the marks {begin.strip()} and {end} once.")
        page = f"{begin}\n{write(groups)}\n{end}".join(parts)
    return page


def stale_pictures(groups: Sequence[Group], folder: Path = PICTURES) -> list[str]:
    """Names of pictures that are missing, show other results, or show results that are gone."""
    from m2a.reporting.class_bars import described
    from m2a.workflows.paper_figures import figure_5_digest

    wanted = {picture_name(group): figure_5_digest(gains) for group in groups if (gains := class_gains(group))}
    there = {path.name: described(path) for path in folder.glob("figure-5-*.png")}
    return sorted(name for name in wanted | there if wanted.get(name) != there.get(name))


def draw(groups: Sequence[Group], folder: Path = PICTURES) -> None:
    """The pictures, and none that are of no result."""
    from m2a.workflows.paper_figures import draw_figure_5

    drawn = {draw_figure_5(group, folder / picture_name(group)) for group in groups}
    for path in set(folder.glob("figure-5-*.png")) - drawn:
        path.unlink()


def main() -> None:
    groups = read_groups(RESULTS)
    before = {path: path.read_text(encoding="utf-8") for path in PAGES}
    after = {path: render(before[path], groups, blocks) for path, blocks in PAGES.items()}
    if "--check" in sys.argv[1:]:
        stale = [path.name for path in PAGES if before[path] != after[path]]
        if stale := stale + stale_pictures(groups):
            sys.exit(f"{', '.join(stale)}: not what the results show; run python scripts/paper_tables.py")
        return
    for path, page in after.items():
        path.write_text(page, encoding="utf-8")
    draw(groups)


if __name__ == "__main__":
    main()
