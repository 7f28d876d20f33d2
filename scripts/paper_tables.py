"""Puts paper/results/<table>/*.json, which `m2a paper run` writes, into docs/evidence.md, and draws the paper's
Figure 5 from them into docs/images.

python scripts/paper_tables.py [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from m2a.recipes.class_gains import class_gains
from m2a.recipes.evidence import evidence, orderings, picture_name, read_groups
from m2a.recipes.groups import Group

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "paper" / "results"
PAGE = ROOT / "docs" / "evidence.md"
PICTURES = ROOT / "docs" / "images"
BLOCKS = {"orderings": orderings, "results": evidence}
"""What makes the text between the marks of each name."""


def render(page: str, groups: Sequence[Group]) -> str:
    """The page with what is between its marks made anew."""
    for name, write in BLOCKS.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        parts = re.split(f"{begin}.*?{end}", page, flags=re.DOTALL)
        if len(parts) != 2:
            sys.exit(f"{PAGE.name} must have the marks {begin.strip()} and {end} once.")
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
    groups, before = read_groups(RESULTS), PAGE.read_text(encoding="utf-8")
    after = render(before, groups)
    if "--check" in sys.argv[1:]:
        if before != after or stale_pictures(groups):
            sys.exit(f"{PAGE.name} or its pictures do not show the results; run python scripts/paper_tables.py")
        return
    PAGE.write_text(after, encoding="utf-8")
    draw(groups)


if __name__ == "__main__":
    main()
