"""`m2a data ...`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

app = App(name="data", help="Check, describe, copy and draw data sets.", help_format="plaintext")
app.command("m2a.cli.data_check:check", name="check", help="Decode every clip of a set, and name what is wrong.")
app.command("m2a.cli.data_stats:stats", name="stats", help="Describe a set on one page: counts, lengths, sizes.")
app.command(
    "m2a.cli.data_shard:shard",
    name="shard",
    help="Copy a set into tar files, for slow file systems.",
)


@app.command
def synthesize(
    out: Path,
    /,
    *,
    edition: int | None = None,
    layout: Literal["something-something-v1", "class-folders"] | None = None,
    num_train: int | None = None,
    num_validation: int | None = None,
    classes: Annotated[tuple[str, ...] | None, Parameter(name="--class", negative=(), consume_multiple=False)] = None,
    num_classes: int | None = None,
    size: int | None = None,
    num_frames: int | None = None,
    difficulty: float | None = None,
    seed: int | None = None,
    workers: int | None = None,
    json: bool = False,
) -> None:
    """Draw clips of objects, hands and a moving camera, under Something-Something V1's labels.

    Most classes come in pairs that are exact time reversals of each other, so that a model blind to the order of frames
    can name at most about half of them. The same options give the same bytes on one machine; an edition everywhere.

    Parameters
    ----------
    out:
        A new folder.
    edition:
        1: a hard set that never changes, of 12,000 clips, for numbers to be compared on. It decides all but --workers
        and --json, and is compared with its checksum.
    layout:
        Something-Something V1's own (folders of JPEG frames and csv lists), the default, or mp4 files in one folder
        per class.
    num_train:
        Training clips in all. By default 1200.
    num_validation:
        Validation clips in all, drawn from other seeds. By default 240.
    classes:
        A label; repeat for several. By default all.
    num_classes:
        That many labels instead, whole pairs first.
    size:
        Short side in pixels. By default 80.
    num_frames:
        Frames of a clip. By default 12.
    difficulty:
        0 to 1: distractors, camera shake, changes of speed and light, noise. By default 0.3.
    seed:
        Of everything that is drawn. By default 0.
    workers:
        Processes; by default one a core.
    json:
        Print the summary as JSON.
    """
    from m2a.cli.output import CONSOLE, print_json
    from m2a.data.synthetic import synthesize as draw
    from m2a.errors import ConfigError

    if classes and num_classes is not None:
        raise ConfigError("Name labels with --class, or their number with --num-classes, not both.")
    summary = draw(
        out,
        edition=edition,
        layout=layout,
        num_train=num_train,
        num_validation=num_validation,
        classes=classes or num_classes,
        size=size,
        num_frames=num_frames,
        difficulty=difficulty,
        seed=seed,
        workers=workers,
        progress=not json,
    )
    if json:
        print_json({**asdict(summary), "root": str(summary.root)})
        return
    counts = ", ".join(f"{count:,} {split}" for split, count in summary.counts.items())
    found = " (the very same set was there already)" if summary.reused else ""
    same = "" if summary.edition is None else f"Byte for byte edition {summary.edition}: sha256 {summary.sha256}.\n"
    CONSOLE.print(
        f"{summary.root}: {counts} clips of {len(summary.labels)} classes, {len(summary.pairs)} time-reversal pairs"
        f"{found}.\n{same}"
        f"Blind to the order of frames, {summary.ceiling:.1f}% is the most one can expect.\n"
        f"Next: m2a train --data {summary.root} --recipe scratch --size 64 --backbone-options.zero_init_last false",
        highlight=False,
        soft_wrap=True,
    )
