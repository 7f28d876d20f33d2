"""Write a whole synthetic set to disk, in parallel, all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from m2a.data.cores import num_cores
from m2a.ending import end_with_the_parent, without_interrupts
from m2a.errors import ConfigError, DataError

from ..something_something import V1
from .checksum import check, check_set, checksum
from .classes import order_blind_ceiling, time_reversal_pairs
from .editions import FIRST_CLIPS, Edition, find_edition, render_edition_clip
from .encode import write_frames, write_video
from .plan import SPLITS, Job, Parameters, edition_parameters, jobs, parameters
from .render import render_clip

RECORD = "synthetic.json"
CHUNK = 16  # clips a worker is handed at a time
WORTH_A_POOL = 200  # below this many clips, starting processes takes longer than drawing


@dataclass(frozen=True)
class SyntheticSummary:
    """What lies on disk.

    `counts` are clips in each split, `ceiling` is `order_blind_ceiling(labels)` in percent, and `reused` says that
    the set was there already and nothing was drawn. `sha256` is an edition's checksum, compared with what is on disk.
    """

    root: Path
    layout: str
    labels: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    counts: dict[str, int]
    ceiling: float
    reused: bool
    edition: int | None = None
    sha256: str | None = None


def synthesize(
    root: str | Path,
    *,
    edition: int | None = None,
    layout: str | None = None,
    num_train: int | None = None,
    num_validation: int | None = None,
    classes: Sequence[str] | int | None = None,
    size: int | None = None,
    num_frames: int | None = None,
    difficulty: float | None = None,
    seed: int | None = None,
    fps: int | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> SyntheticSummary:
    """Draw the set "somethings": clips of objects, hands and a moving camera under Something-Something V1's labels.

    The same arguments give the same bytes on the same machine, whatever the number of workers; an edition everywhere.
    Nothing is left under `root` if the run is interrupted. A folder that holds the very same set is reused. What is
    None is as said below.

    Args:
        root: where to write; must not exist, be empty, or hold the same set.
        edition: a set that never changes, for numbers to be compared on: 1. It decides everything but `workers` and
            `progress`, and is compared with its checksum, when drawn and when found.
        layout: "something-something-v1", the default (JPEG frames and `;`-separated lists), or "class-folders" (mp4
            files in `train/<label>/` and `validation/<label>/`).
        num_train, num_validation: clips in all, shared evenly by the classes (differing by one at most); 1200 and 240.
        classes: label names; or a number, for that many from the top of the table, where the pairs come first; or
            None for all.
        size: the short side (height) in pixels, even; frames are 4:3; 80.
        num_frames: frames in every clip; 12.
        difficulty: 0..1, see `render_clip`; 0.3.
        seed: 0 or more; 0. Training and validation clips are drawn from different streams of it.
        fps: frames a second of the mp4 files; 12.
        workers: processes; None picks by the size of the job, 0 and 1 draw in this process.
        progress: show a bar on stderr.

    Returns:
        A summary of what is on disk.

    Raises:
        ConfigError: an argument that cannot work, or a folder with a synthetic set of other parameters.
        DataError: a folder with something else in it, or that cannot be written; or clips that are not the edition's,
            none of which is kept.
    """
    root = Path(root)
    if workers is not None and workers < 0:
        raise ConfigError(f"workers={workers}: 0 and 1 draw in this process, more draw in parallel, None chooses.")
    given = {
        "layout": layout, "num_train": num_train, "num_validation": num_validation, "size": size,
        "num_frames": num_frames, "difficulty": None if difficulty is None else float(difficulty), "seed": seed,
        "fps": fps,
    }  # fmt: skip
    if edition is None:
        p = parameters(classes, **given)
    else:
        p = edition_parameters(edition, classes=classes, **given)
    place = root.resolve()  # a link stays, and what it leads to is written
    reused = _is_there(place, p) or not _build(place, p, _num_workers(workers, p), progress)
    counts = {split: p.total(split) for split in SPLITS}
    pairs = tuple(time_reversal_pairs(p.labels))
    sha256 = None if edition is None else find_edition(edition).sha256
    ceiling = order_blind_ceiling(p.labels)
    return SyntheticSummary(root, p.layout, p.labels, pairs, counts, ceiling, reused, edition, sha256)


def _num_workers(workers: int | None, p: Parameters) -> int:
    if workers is not None:
        return workers
    if p.num_train + p.num_validation < WORTH_A_POOL:
        return 1
    return num_cores()


def _is_there(root: Path, p: Parameters) -> bool:
    """Whether `root` holds this very set; False where it can be written; raises where it holds anything else."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise DataError(f"{root} is a file; the set needs a folder. Name one that is empty or does not exist yet.")
    if not any(root.iterdir()):
        return False
    try:
        found = json.loads((root / RECORD).read_text(encoding="utf-8"))
        theirs = {"generator": found["generator"], "edition": found.get("edition"), **found["parameters"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{root} is not empty and holds no synthetic set ({RECORD} is missing or unreadable). "
            "Name a folder that is empty or does not exist yet."
        ) from None
    record = p.record()
    ours = {"generator": record["generator"], "edition": p.edition, **record["parameters"]}
    other = [f"{k}={theirs.get(k)!r} (asked for {v!r})" for k, v in ours.items() if theirs.get(k) != v]
    if other:
        raise ConfigError(
            f"{root} holds a synthetic set with other parameters: {'; '.join(other)}. "
            "Name another folder, or delete this one."
        )
    lost = [str(job.target) for job in jobs(p) if not _is_whole(root / job.target, p.num_frames)]
    if lost:
        raise DataError(
            f"{root} lacks {len(lost)} of its clips or parts of them, for example {lost[0]}. Delete it and draw it "
            "again."
        )
    lists = [V1.csv_path(root, which) for which in ("labels", *SPLITS)] if p.layout == V1.format else []
    if gone := [path.name for path in lists if not path.is_file()]:
        raise DataError(f"{root} lacks {', '.join(gone)}. Delete it and draw it again.")
    if p.edition is not None:
        check_set(find_edition(p.edition), root, f"The files in {root}", "Delete it and draw it again.")
    return True


def _is_whole(clip: Path, num_frames: int | tuple[int, int]) -> bool:
    """Whether a video is there, or a folder with as many frames as it must have; those of an edition are compared
    byte for byte."""
    if not clip.is_dir():
        return clip.is_file() and clip.stat().st_size > 0
    return not isinstance(num_frames, int) or sum(name.endswith(".jpg") for name in os.listdir(clip)) == num_frames


def _build(root: Path, p: Parameters, workers: int, progress: bool) -> bool:
    """Draw everything beside `root`, then move it there in one step; False where another process was quicker."""
    partial = _new_partial(root)
    try:
        todo = jobs(p)
        if p.edition is not None:
            _draw_first(partial, p, todo[:FIRST_CLIPS], find_edition(p.edition))
        _draw_all(partial, p, todo if p.edition is None else todo[FIRST_CLIPS:], workers, progress)
        if p.layout == "something-something-v1":
            _write_lists(partial, p, todo)
        if p.edition is not None:
            check_set(find_edition(p.edition), partial, "The clips drawn here", "None was kept.")
        (partial / RECORD).write_text(json.dumps(p.record(), indent=2) + "\n", encoding="utf-8")
        return _put(partial, root, p)
    except BrokenProcessPool:
        raise ConfigError(
            "A drawing process died. In a script, call synthesize below `if __name__ == '__main__':`; "
            "from a notebook or a shell pass workers=1."
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _new_partial(root: Path) -> Path:
    """A folder to draw in: beside `root`, or in it where it is there and cannot be replaced, as it is a disk of its
    own, the current folder, or in a folder that may not be written. Raises DataError where neither can be made."""
    name = f".{root.name}.partial-{os.getpid()}"
    # moving another folder to where someone is would leave him in one that is gone
    kept = os.path.ismount(root) or Path.cwd().is_relative_to(root.resolve())
    beside = [] if kept else [root.parent / name]
    within = [root / name] if root.is_dir() else []
    for partial in (*beside, *within):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
        except OSError as error:
            reason = error
        else:
            return partial
    raise DataError(f"{root} cannot be written ({reason.strerror}). Name a folder where you may write.") from reason


def _put(partial: Path, root: Path, p: Parameters) -> bool:
    """Whether it was moved; False where the very same set is there by now. Raises where anything else is."""
    if partial.parent == root:
        if any(child != partial for child in root.iterdir()):
            return not _is_there(root, p)
        for child in sorted(partial.iterdir(), key=lambda child: child.name == RECORD):  # the record is last
            child.rename(root / child.name)
        return True
    try:
        if root.exists():
            root.rmdir()  # it was empty; if it no longer is, this fails and nothing is lost
        partial.rename(root)
    except OSError:
        if not _is_there(root, p):
            raise
        return False
    return True


def _draw_first(root: Path, p: Parameters, first: list[Job], edition: Edition) -> None:
    """Draw a few clips of an edition, and go on only if they are its own."""
    draw_chunk(root, p, first)
    found = checksum(root, (file for job in first for file in (root / job.target).iterdir()))
    check(edition, found, edition.first_sha256, "The first clips drawn here", "No more were drawn, and none was kept.")


def _write_lists(root: Path, p: Parameters, todo: list[Job]) -> None:
    """The three csv files of Something-Something V1."""
    lists = {"labels": [f"{label}\n" for label in sorted(p.labels)]}
    lists |= {split: [f"{job.clip_id};{job.label}\n" for job in todo if job.split == split] for split in SPLITS}
    for which, lines in lists.items():
        V1.csv_path(root, which).write_text("".join(lines), encoding="utf-8", newline="\n")


def _draw_all(root: Path, p: Parameters, todo: list[Job], workers: int, progress: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True), disable=not progress) as bar,
        closing(_chunks_done(root, p, todo, workers)) as chunks,  # whatever ends this, nobody draws any more then
    ):
        task = bar.add_task("Drawing clips", total=len(todo))
        for done in chunks:
            bar.advance(task, done)


def _chunks_done(root: Path, p: Parameters, todo: list[Job], workers: int) -> Generator[int]:
    """Draw, giving the number of clips drawn from time to time."""
    chunks = [todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)]
    if workers <= 1:
        for chunk in chunks:
            yield draw_chunk(root, p, chunk)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(chunks)), mp_context=get_context("spawn"), initializer=end_with_the_parent
    )
    try:
        with without_interrupts():  # while processes start
            drawn = [pool.submit(draw_chunk, root, p, chunk) for chunk in chunks]
        for future in as_completed(drawn):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def draw_chunk(root: Path, p: Parameters, chunk: list[Job]) -> int:
    """Draw and write some clips below `root`, and say how many. Runs in a worker process."""
    for job in chunk:
        rng = np.random.default_rng(np.random.SeedSequence(job.entropy))
        if p.edition is not None:
            edition = find_edition(p.edition)
            write_frames(root / job.target, render_edition_clip(edition, job.label, rng), edition.jpeg_quality)
            continue
        assert isinstance(p.num_frames, int)  # only editions have ranges
        assert isinstance(p.difficulty, float)
        frames = render_clip(job.label, size=p.size, num_frames=p.num_frames, difficulty=p.difficulty, rng=rng)
        if p.layout == "class-folders":
            write_video(root / job.target, frames, p.fps)
        else:
            write_frames(root / job.target, frames)
    return len(chunk)
