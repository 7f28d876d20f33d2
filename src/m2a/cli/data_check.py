"""`m2a data check`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from m2a.training.config import DataFormat

if TYPE_CHECKING:
    from rich.table import Table

    from m2a.data import CheckReport

MOST_CLASSES = 40
COLOURS = {"error": "red", "warning": "yellow", "information": "cyan"}


def check(
    path: Path,
    /,
    *,
    format: DataFormat = "auto",  # noqa: A002 - the word users look for
    split: int = 1,
    missing: Literal["error", "skip"] = "skip",
    num_frames: int = 8,
    quick: bool = False,
    workers: int | None = None,
    out: Path | None = None,
    resume: bool = True,
    json: bool = False,
) -> None:
    """Decode every clip of a set, and name what is wrong.

    Clips that cannot be decoded, copies, clips on both sides of the split, classes without clips, and more. Writes
    check.json, check.jsonl (a line a clip, by which an interrupted check goes on) and skip.txt (the clips with errors,
    for --skip-list of m2a train and m2a evaluate). A skip.txt that was edited stays as it is, and skip-new.txt is
    written beside it. Exits with 1 when there are errors.

    Parameters
    ----------
    path:
        The data set.
    format:
        Its layout.
    split:
        Which official split, where it has several.
    missing:
        What to do about clips that a list names and the disk does not have: skip (and name them) or error.
    num_frames:
        Clips with fewer frames are named.
    quick:
        Open the clips, decode the first frame and count the others: finds no damage in the middle.
    workers:
        Processes; by default one a core.
    out:
        Folder for the results; runs/check-<name> by default.
    resume:
        Leave alone the clips that an earlier check in the folder has seen and that are the same since.
    json:
        Print check.json instead of tables.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from m2a.cli.output import CONSOLE, error_console, print_json
    from m2a.data import check_clips
    from m2a.data.annotations import read_to_look_at
    from m2a.data.class_folders import refuse_inside

    clips = read_to_look_at(path, format=format, missing=missing, split=split)
    folder = out or Path("runs") / f"check-{path.resolve().name}"
    refuse_inside(clips, folder, "name one with --out")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = error_console()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking", total=None)
        report = check_clips(
            clips,
            num_frames=num_frames,
            quick=quick,
            workers=workers,
            out=folder,
            resume=resume,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    skip_file = report.skip_file(folder)
    if json:
        print_json(report.to_dict())
    else:
        CONSOLE.print(_head(report), highlight=False, soft_wrap=True)
        CONSOLE.print(_classes(report))
        if report.findings:
            CONSOLE.print(_findings(report))
        CONSOLE.print(_verdict(report, skip_file), highlight=False, soft_wrap=True)
    if report.has_errors:
        sys.exit(1)


def _head(report: CheckReport) -> str:
    from m2a.wording import count

    clips = report.clips
    counted = f"{count(report.num_clips, 'clip')}, {count(len(clips.labels), 'class', 'classes')}"
    lines = [f"{clips.root}: {clips.format}, {counted}"]
    lines += [f"  {note}" for note in clips.notes]
    if report.num_reused:
        lines.append(f"{report.num_reused:,} clips are unchanged since an earlier check, and were not decoded again")
    return "\n".join(lines)


def _classes(report: CheckReport) -> Table:
    from rich.table import Table
    from rich.text import Text

    splits = list(report.clips.splits)
    table = Table("class", title="Clips")
    for name in splits:
        table.add_column(name, justify="right")
    counts = report.class_counts()
    for label, by_split in list(counts.items())[:MOST_CLASSES]:
        table.add_row(Text(label), *(f"{by_split[name]:,}" for name in splits))
    if len(counts) > MOST_CLASSES:
        table.add_row(f"and {len(counts) - MOST_CLASSES} more classes")
    totals = report.totals()
    table.add_section()
    table.add_row("clips", *(f"{totals[name]['clips']:,}" for name in splits))
    table.add_row("frames", *(f"{totals[name]['frames']:,}" for name in splits))
    if any(totals[name]["clips_with_seconds"] for name in splits):
        table.add_row("seconds", *(f"{totals[name]['seconds']:,.1f}" for name in splits))
    return table


def _findings(report: CheckReport) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("finding", "severity", "count", "examples", title="Findings")
    table.columns[2].justify = "right"
    for kind, found in report.by_kind().items():
        examples = [f"{finding.clip}: {finding.why}" if finding.clip else finding.why for finding in found[:2]]
        severity = Text(found[0].severity, style=COLOURS[found[0].severity])
        table.add_row(kind, severity, f"{len(found):,}", Text("\n".join(examples)))
    return table


def _verdict(report: CheckReport, skip_file: Path) -> str:
    from m2a.data.checking.report import SEVERITIES
    from m2a.wording import count

    numbers = {severity: sum(f.severity == severity for f in report.findings) for severity in SEVERITIES}
    how = "opened and counted" if report.quick else "decoded to the last frame"
    errors, warnings = (count(numbers[name], name) for name in ("error", "warning"))
    said = f"{errors}, {warnings}, {numbers['information']:,} for information"
    written = f"{skip_file.with_name('check.json')}, check.jsonl, {skip_file.name}"
    lines = [f"{report.num_clips:,} clips {how}: {said}", f"written: {written}"]
    if skip_file.name != "skip.txt":
        edited = skip_file.with_name("skip.txt")
        lines.append(
            f"{edited} was edited since the last check and stays as it is; what this one found: {skip_file.name}"
        )
    if report.has_errors:
        lines.append(
            f"next: repair or replace these clips, or train without them: --skip-list {shlex.quote(str(skip_file))}"
        )
    return "\n".join(lines)
