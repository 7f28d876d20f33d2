"""Looking at every clip of a set."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from m2a.data.cores import num_cores

from ...errors import ConfigError, UnreadableClipError
from ..clipset import ClipSet
from ..shards import find_in_shard
from .duplicates import find_duplicates
from .facts import ClipFacts, faulty, find_facts
from .files import RECORDS, check_folder
from .processes import in_processes
from .records import Fingerprint, Records, fingerprint
from .report import CheckReport, Finding
from .rules import class_findings, clip_findings, group_findings, note_findings, unlisted, unusual

WORTH_PROCESSES = 100  # below this many clips, starting processes takes longer than decoding

Progress = Callable[[int, int], None]
"""Called with the number of clips done and the number there are."""


def check_clips(
    clips: ClipSet,
    *,
    num_frames: int = 8,
    quick: bool = False,
    workers: int | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    progress: Progress | None = None,
) -> CheckReport:
    """Decodes every frame of every clip, and looks at the set as a whole.

    Args:
        clips: as `read_clips` gives them; read with `missing="skip"`, missing clips become findings.
        num_frames: clips with fewer frames are named.
        quick: only open the clips and count their frames: damage in the middle, still and black clips are not found.
        workers: processes; None chooses, 0 and 1 work in this process.
        out: a folder. `check.jsonl` is written there clip by clip, then `check.json` and `skip.txt`, or `skip-new.txt`
            where `skip.txt` was edited since the last check.
        resume: do not look again at clips that an earlier check in `out` has seen and that are the same since.
        progress: called with the number of clips done and the number of all.

    Raises:
        ConfigError: an argument that cannot work, worker processes that cannot be started, or an `out` that holds the
            check of another set or files of somebody else.
    """
    if num_frames < 1 or (workers is not None and workers < 0):
        raise ConfigError(f"num_frames={num_frames} must be at least 1, workers={workers} at least 0")
    if out is not None:
        check_folder(Path(out), clips.root)
    paths = list(dict.fromkeys(clip.path for members in clips.splits.values() for clip in members))
    records = Records(Path(out) / RECORDS if out is not None else None, resume=resume)
    marks = {path: mark for path in paths if (mark := _mark(path)) is not None}
    known = {path: fact for path, mark in marks.items() if (fact := records.find(path, mark, quick=quick)) is not None}
    facts = {path: faulty(_why_not_there(path)) for path in paths if path not in marks} | known
    todo = [path for path in paths if path not in facts]
    tell = progress or (lambda done, total: None)
    tell(len(facts), len(paths))
    for path, fact in probe_clips(todo, quick=quick, workers=workers):
        records.add(path, marks[path], fact, quick=quick)
        facts[path] = fact
        tell(len(facts), len(paths))
    report = CheckReport(
        clips=clips,
        facts=facts,
        findings=tuple(_findings(clips, facts, marks, num_frames=num_frames)),
        quick=quick,
        num_reused=len(known),
    )
    if out is not None:
        report.write(out)
    return report


def probe_clips(paths: Sequence[Path], *, quick: bool, workers: int | None) -> Iterator[tuple[Path, ClipFacts]]:
    """The facts of each clip, as they come."""
    if workers is None:
        workers = num_cores() if len(paths) >= WORTH_PROCESSES else 1
    function = partial(find_facts, quick=quick)
    for path, facts in in_processes(function, paths, workers=workers, prepare=_prepare_process):
        yield path, facts or faulty("the process that decoded it died; it may be damaged, or need too much memory")


def _findings(
    clips: ClipSet, facts: Mapping[Path, ClipFacts], marks: Mapping[Path, Fingerprint], *, num_frames: int
) -> Iterator[Finding]:
    for members in clips.splits.values():
        for clip in members:
            yield from clip_findings(clip, facts[clip.path], num_frames=num_frames)
    yield from find_duplicates(clips, facts, marks)
    yield from group_findings(clips)
    yield from note_findings(clips)
    yield from class_findings(clips)
    yield from unusual(clips, facts)
    yield from unlisted(clips)


def _mark(path: Path) -> Fingerprint | None:
    try:
        return fingerprint(path)
    except (OSError, UnreadableClipError):
        return None


def _why_not_there(path: Path) -> str:
    try:
        find_in_shard(path)
    except UnreadableClipError as error:
        return error.reason
    return "it may not be read; look at its permissions" if os.path.exists(path) else "there is no such file or folder"


def _prepare_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    torch.set_num_threads(1)
