"""Runs of the paper's rows side by side, each in a process of its own: a small network leaves most of a GPU idle."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from rich.console import Console
from rich.text import Text

from m2a.ending import end_with_the_parent, without_interrupts
from m2a.errors import M2AError
from m2a.recipes.results import Result
from m2a.recipes.rows import PaperRow, twins

Job = tuple[PaperRow, int]
"""A row and a seed."""
Answer = tuple[Path, Result] | M2AError
Run = Callable[[PaperRow, int, Console], tuple[Path, Result]]
"""Trains a row with a seed. It is pickled, and so are what it returns and the `M2AError` it raises."""


@dataclass(frozen=True, kw_only=True)
class _Child:
    """A process with a run in it."""

    process: BaseProcess
    answers: Connection
    log: Path
    started: float


@dataclass(frozen=True, kw_only=True)
class Event:
    """A job began or ended."""

    job: str
    answer: Answer | None
    """What came of it; None where it began."""
    log: Path
    """What it prints."""
    seconds: float
    """That it took so far, with the start of its process."""


def run_side_by_side(
    jobs: Mapping[str, Job],
    count: int,
    *,
    known: Callable[[str], Answer | None],
    next_run: Callable[[], Run],
    logs: Path,
) -> Generator[Event, None, None]:
    """Runs jobs in the order given, `count` at a time, and of rows that are the same model one after the other, so that
    the second may find the result of the first.

    Args:
        jobs: by name.
        count: of processes.
        known: what comes of the job of a name, if that is known without a process when its turn has come.
        next_run: gives what is to be done, if it is not.
        logs: a folder for what the runs print, a file each.

    Yields an event when a job begins and when it ends; the latter alone for what is known. A process that dies gives an
    `M2AError` too. Who stops asking, by an exception or by `close()`, has the processes that are left ended by SIGTERM,
    and waited for.
    """
    pending, running = dict(jobs), dict[str, _Child]()
    try:
        while pending or running:
            while len(running) < count and (name := _next(pending, [jobs[other] for other in running])):
                job, log = pending.pop(name), logs / f"{_file_name(name)}.log"
                if (answer := known(name)) is None:
                    running[name] = _start(next_run(), job, log)
                yield Event(job=name, answer=answer, log=log, seconds=0.0)
            ready = wait([child.answers for child in running.values()]) if running else []
            for name in [name for name, child in running.items() if child.answers in ready]:
                child = running[name]
                answer = _answer(child)
                del running[name]
                yield Event(job=name, answer=answer, log=child.log, seconds=time.perf_counter() - child.started)
    finally:
        for child in running.values():
            child.process.terminate()
        for child in running.values():
            child.process.join()


def _next(pending: Mapping[str, Job], running: list[Job]) -> str | None:
    """The first job whose model no run is training with the same seed."""
    for name, (row, seed) in pending.items():
        alike = twins(row)
        if not any(other in alike and seed == other_seed for other, other_seed in running):
            return name
    return None


def _file_name(job: str) -> str:
    return re.sub(r"[^\w.]+", "-", job)


def _start(run: Run, job: Job, log: Path) -> _Child:
    log.parent.mkdir(parents=True, exist_ok=True)
    context = get_context("spawn")  # of a process with threads a fork is not safe, nor is CUDA after one
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, run, job, log))
    started = time.perf_counter()
    with without_interrupts():
        process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return _Child(process=process, answers=ours, log=log, started=started)


def _answer(child: _Child) -> Answer:
    try:
        answer: Answer = child.answers.recv()
    except EOFError:
        child.process.join()
        answer = M2AError(f"its process {_ended(child.process.exitcode)}; the end of {child.log} may say why.")
    child.process.join()
    child.answers.close()
    return answer


def _ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    killed = f"was ended by {signal.Signals(-code).name}"
    return f"{killed}, as when the memory is full" if -code == getattr(signal, "SIGKILL", None) else killed


def _work(answers: Connection, run: Run, job: Job, log: Path) -> None:
    """The process: what it prints goes into the log, and what came of the run to whoever started it."""
    end_with_the_parent()
    with log.open("a", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    console = Console(stderr=True, width=120)
    try:
        answer: Answer = run(*job, console)
    except M2AError as error:
        console.print(Text(f"error: {error}"), soft_wrap=True)
        answer = error
    answers.send(answer)
