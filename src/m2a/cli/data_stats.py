"""`m2a data stats`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from m2a.training.config import DataFormat


def stats(
    path: Path,
    /,
    *,
    format: DataFormat = "auto",  # noqa: A002 - the word users look for
    split: int = 1,
    missing: Literal["error", "skip"] = "skip",
    sample: int = 500,
    workers: int | None = None,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Describe a set on one page: clips by class and split, lengths, frame sizes, codecs, film strips.

    All clips are counted; lengths, sizes and codecs are those of the clips that are opened. The page is one file that
    needs no network.

    Parameters
    ----------
    path:
        The data set.
    format:
        Its layout.
    split:
        Which official split, where it has several.
    missing:
        What to do about clips that a list names and the disk does not have: skip or error.
    sample:
        Clips to open, at most; drawn at random, always the same ones.
    workers:
        Processes; by default one a core where there are many clips.
    out:
        The page; stats.html by default.
    json:
        Print the numbers as JSON, and write the page only where --out names one.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from m2a.cli.output import CONSOLE, error_console, print_json
    from m2a.data.annotations import read_to_look_at

    clips = read_to_look_at(path, format=format, missing=missing, split=split)
    from m2a.workflows.data_page import describe_set  # slow to load: what cannot be read is said before

    page = out if json else out or Path("stats.html")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = error_console()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("opening", total=None)
        found = describe_set(
            clips,
            page,
            sample=sample,
            workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if json:
        print_json(found.to_dict())
        return
    counts = ", ".join(f"{len(members):,} {name}" for name, members in clips.splits.items())
    CONSOLE.print(
        f"{clips.root}: {clips.format}, {len(clips.labels)} classes, {counts} clips; {len(found.opened):,} of "
        f"{found.num_clips:,} were opened\nwritten: {page}",
        highlight=False,
        soft_wrap=True,
    )
