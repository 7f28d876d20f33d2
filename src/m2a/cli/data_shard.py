"""`m2a data shard`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from m2a.training.config import DataFormat

if TYPE_CHECKING:
    from m2a.data.sharding import ShardSummary


def shard(
    path: Path,
    out: Path,
    /,
    *,
    format: DataFormat = "auto",  # noqa: A002 - the word users look for
    split: int = 1,
    missing: Literal["error", "skip"] = "error",
    shard_size: str = "1GB",
    workers: int = 1,
    seed: int = 0,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Copy a set into tar files, for data on a slow network file system or in very many files.

    Writes train-000000.tar, ... as WebDataset reads them, and shards.json, by which m2a finds each clip. The folder is
    then a data set like any other: m2a train --data OUT. Videos and frames are copied byte for byte.

    Parameters
    ----------
    path:
        The data set.
    out:
        A new folder, outside the data set.
    format:
        Layout of the data set.
    split:
        Which official split, where it has several.
    missing:
        What to do about clips that a list names and the disk does not have: error or skip.
    shard_size:
        Size from which on another shard is begun, such as 500MB or 1GB.
    workers:
        Threads that open clips and write shards.
    seed:
        Of the order of the clips in the shards.
    skip_bad:
        Leave out clips that cannot be opened, and name them in shards.json, instead of stopping.
    json:
        Print the summary as JSON.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from m2a.cli.output import CONSOLE, error_console, print_json
    from m2a.data import read_clips
    from m2a.data.class_folders import refuse_inside
    from m2a.data.sharding import parse_size, write_shards

    size = parse_size(shard_size)
    clips = read_clips(path, format=format, missing=missing, split=split, to_train=False)  # holds nothing out
    refuse_inside(clips, out, "name one as the second argument, OUT")
    console = error_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("opening", total=None)
        summary = write_shards(
            clips,
            out,
            shard_size=size,
            workers=workers,
            seed=seed,
            skip_bad=skip_bad,
            progress=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
    if json:
        print_json(
            {
                "root": str(summary.root),
                "shards": list(summary.shards),
                "counts": dict(summary.counts),
                "bytes": summary.num_bytes,
                "notes": list(clips.notes),
                "left_out": [{"path": str(bad), "reason": reason} for bad, reason in summary.left_out.items()],
            }
        )
    else:
        CONSOLE.print(_text(summary, clips.notes), highlight=False, soft_wrap=True)


def _text(summary: ShardSummary, notes: Sequence[str]) -> str:
    from m2a.data.parts import readable
    from m2a.wording import count

    counts = ", ".join(f"{count:,} {split}" for split, count in summary.counts.items())
    shards = count(len(summary.shards), "shard")
    lines = [f"{summary.root}: {counts} clips in {shards}, {readable(summary.num_bytes)}"]
    lines += [f"  {note}" for note in notes]
    if summary.left_out:
        lines.append(f"{count(len(summary.left_out), 'clip')} could not be opened, left out:")
        lines += [f"  {path}: {reason}" for path, reason in summary.left_out.items()]
    following = "m2a train --data" if "train" in summary.counts else "m2a evaluate RUN --split test --out NEW --data"
    return "\n".join([*lines, f"Next: {following} {summary.root}"])
