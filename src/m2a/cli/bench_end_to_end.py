"""`m2a bench end-to-end`: from files on disk to answers, or to a trained epoch."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from m2a.errors import ConfigError


def end_to_end(
    data: Path,
    /,
    *,
    job: Literal["predict", "train"] = "predict",
    format: str = "auto",  # noqa: A002 - the word users look for
    clips: int = 200,
    backbone: str = "resnet18",
    size: int = 224,
    num_frames: int = 8,
    batch_size: int = 8,
    workers: int = 1,
    threads: int | None = None,
    repeats: int = 3,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Measure whole work on this machine's processor: naming the action in clips, or an epoch of training.

    Three ways take turns: as the paper's code does it (frames as PIL images, torch's default layout, M2A one operation
    after the other, float32), m2a, and m2a in bfloat16. Weights are random; speed does not depend on them.

    Parameters
    ----------
    data:
        A data set.
    job:
        predict (as m2a predict does), or train (an epoch, as m2a train does).
    format:
        Layout of the data set.
    clips:
        Training clips of the set to use, at most.
    backbone:
        A timm model that takes m2a.
    size:
        Height and width in pixels of the model's input.
    num_frames:
        Frames of a clip.
    batch_size:
        Clips in a batch, where there are batches: not where m2a predicts.
    workers:
        Processes that decode; where m2a predicts, its threads do.
    threads:
        Of torch's operations, or clips at the same time where m2a predicts; by default as torch chooses.
    repeats:
        Rounds, after a warm-up that does not count.
    out:
        A JSON file to write the result to.
    json:
        Print JSON.
    """
    from m2a.cli.output import CONSOLE, print_json, write_json
    from m2a.data import read_clips
    from m2a.measurement import commit, hardware, versions
    from m2a.measurement import threads as limited_to
    from m2a.reporting.owned import check_our_json
    from m2a.workflows.end_to_end import EndToEnd

    if threads is not None and threads < 1:
        raise ConfigError(f"--threads must be at least 1; got {threads}.")
    if out is not None:
        check_our_json(out)
    found = read_clips(data, format=format)
    settings: dict[str, Any] = {
        "job": job, "backbone": backbone, "size": size, "num_frames": num_frames, "batch_size": batch_size,
        "workers": workers, "repeats": repeats,
    }  # fmt: skip
    chosen = found.split("train")[:clips]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with limited_to(threads) as count:
        ways = EndToEnd(clips=chosen, labels=found.labels, threads=count, **settings).measure()
    options = {"job": job, "clips": len(chosen), "backbone": backbone, "size": size, "num_frames": num_frames}
    options |= {"batch-size": batch_size, "workers": workers, "threads": count, "repeats": repeats}
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    content = {
        "kind": "end to end",
        **settings,
        "clips": len(chosen),
        "format": found.format,
        "threads": count,
        "ways": ways,
        "load_before": load,
        "hardware": hardware(),
        "versions": versions(),
        "commit": commit(),
        "command": shlex.join(["m2a", "bench", "end-to-end", data.name, *flags]),
    }
    if out is not None:
        write_json(out, content)
    if json:
        print_json(content)
    else:
        CONSOLE.print(table(content))
        CONSOLE.print("The model and reading overlap, so that the shares may add up to more than all.", highlight=False)


def table(content: dict[str, Any]) -> Table:
    """What was measured, a row each way."""
    title = f"{content['job']}, {content['backbone']} with m2a, {content['clips']} clips of {content['num_frames']} x "
    shown = Table(title=title + f"{content['size']} x {content['size']}", title_justify="left")
    for head in ("way", "clips a second", "times the first", "in the model", "reading alone would take"):
        shown.add_column(head, justify="left" if head == "way" else "right")
    for way in content["ways"]:
        low, high = way["ratio_range"]
        shown.add_row(
            way["way"],
            f"{way['clips_per_second']:.2f}",
            f"{way['ratio']:.2f} ({low:.2f} to {high:.2f})",
            f"{way['model_share']:.0%}",
            f"{way['reading_alone_share']:.0%}",
        )
    return shown
