"""`m2a paper figure`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from m2a.errors import ConfigError, NotFoundError
from m2a.recipes.results import RESULTS


def figure(
    number: Literal["4", "5"],
    /,
    *,
    results: Path = RESULTS,
    clip: Path | None = None,
    data: str | None = None,
    runs: Path = Path("runs/paper"),
    out: Path = Path("figures"),
) -> None:
    """Draw the paper's Figure 4 or 5 of results that are there, one picture for each group of comparable ones.

    Figure 5 shows what m2a gains over tam, tdn and tea on each class, from the results of Table V. Figure 4 shows where
    the models of m2a-attention, m2a-motion and m2a look in a clip, from the results of Table I and their runs' folders.

    Parameters
    ----------
    number:
        4 or 5.
    results:
        Folder of the results.
    clip:
        For Figure 4: the video, or folder of frames.
    data:
        Only results on this data set, by its name in the results; by default each on its own.
    runs:
        For Figure 4: what m2a paper run was given as --out.
    out:
        Folder of the pictures.
    """
    from m2a.cli.output import CONSOLE
    from m2a.recipes.evidence import picture_name, refuse_of_one_name
    from m2a.recipes.groups import group_results
    from m2a.recipes.shared import read_results
    from m2a.workflows.paper_figures import draw_figure_4, draw_figure_5

    if (number == "4") != (clip is not None):
        raise ConfigError("Figure 4 is about one clip, which --clip names; Figure 5 is about all, and takes none.")
    table = "I" if number == "4" else "V"
    groups = group_results(read_results(results, table))
    if data is not None:
        names = sorted({group.data.name for group in groups})
        if data not in names:
            raise NotFoundError(f"{results} has no results of Table {table} on {data!r}, but on {', '.join(names)}.")
        groups = [group for group in groups if group.data.name == data]
    refuse_of_one_name(groups)
    drawn = []
    for group in groups:
        if clip is None:
            drawn.append(draw_figure_5(group, out / picture_name(group)))
        else:
            path = out / f"figure-4-{group.name}-{clip.stem}.png"
            drawn.append(draw_figure_4(group, clip, path, runs=runs))
    for path in filter(None, drawn):
        CONSOLE.print(path, highlight=False, soft_wrap=True)
    if not any(drawn):
        rows = "I/m2a-attention, I/m2a-motion and I/m2a" if number == "4" else "V/m2a and one of V/tam, V/tdn, V/tea"
        raise NotFoundError(f"{results} has no results of {rows} with one seed. Run them: m2a paper run.")
