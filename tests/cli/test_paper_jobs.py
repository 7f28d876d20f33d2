"""`m2a paper run --jobs`: runs in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Outcome
from rich.console import Console

from m2a.errors import ConfigError, M2AError
from m2a.recipes.rows import PaperRow, find_row
from m2a.workflows.paper_jobs import Job, run_side_by_side

Command = Callable[..., Outcome]
TINY = ("--data", "synthetic", "--scale", "tiny", "--device", "cpu")
THIN = ("--backbone-options.channels", "[8, 8, 16, 16]")


def test_runs_side_by_side_leave_what_runs_in_turn_leave(m2a: Command, tmp_path: Path) -> None:
    rows = ("I/m2a", "V/m2a", "I/m2a-motion")
    left = {}
    for jobs in (1, 2):
        out, results = tmp_path / f"runs{jobs}", tmp_path / f"results{jobs}"
        outcome = m2a("paper", "run", *rows, *TINY, *THIN, "--jobs", jobs, "--out", out, "--results", results, "--json")
        assert outcome.code == 0, outcome.err
        left[jobs] = json.loads(outcome.out)
        assert left[jobs]["failures"] == {}
        assert sorted(path.name for path in results.glob("*/*")) == sorted(
            f"{name}-tiny-synthetic-scratch-seed0-changed-ea2a70db.json" for name in ("m2a", "m2a-motion")
        )
        if jobs == 2:
            assert "V/m2a is not trained again" in outcome.err
    logs = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "runs2" / "logs").iterdir()}
    assert sorted(logs) == ["I-m2a-motion-seed-0.log", "I-m2a-seed-0.log"]
    assert all("epoch   1/1" in log and "the result is in" in log for log in logs.values())
    assert [one["recipe"] for one in left[2]["results"]] == list(rows)  # and not by which was first
    for one, other in zip(left[1]["results"], left[2]["results"], strict=True):
        for apart in ("file", "command", "seconds"):
            del one[apart], other[apart]
        for result in (one, other):
            result["config"].pop("out")
        assert one == other


def test_rows_that_have_a_result_or_a_damaged_one_for_their_model_take_no_process(m2a: Command, tmp_path: Path) -> None:
    results = tmp_path / "results"
    taken = [results / "I" / f"{name}-tiny-synthetic-scratch-seed0.json" for name in ("none", "m2a")]
    for path in taken:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    flags = (*TINY, "--out", tmp_path / "runs", "--results", results, "--jobs", 2)
    outcome = m2a("paper", "run", "I/none", "I/m2a", *flags)
    assert outcome.code == 1
    assert "2 of 2 runs failed" in outcome.message
    assert outcome.message.count("There is a result already") == 2
    assert not (tmp_path / "runs").exists()
    outcome = m2a("paper", "run", "V/m2a", "R18/none", *flags)
    assert outcome.code == 1
    assert outcome.message.count("is not the result of a run") == 2
    assert not (tmp_path / "runs" / "logs").exists()
    assert [path.read_text() for path in taken] == ["{}", "{}"]


def test_less_than_one_job_is_refused(m2a: Command) -> None:
    outcome = m2a("paper", "run", "I", *TINY, "--jobs", 0)
    assert outcome.code == 1
    assert "must be at least 1; got 0" in outcome.message


# What follows runs these in the place of a training. A process that is spawned finds them by their names.


def fine(row: PaperRow, seed: int, console: Console) -> Any:
    console.print(f"{row.name} on a process with {os.environ.get('M2A_TEST', 'nothing')}")
    time.sleep(0.2)
    return Path(row.name), f"{row.name} {seed}"


def refuses(row: PaperRow, seed: int, console: Console) -> Any:
    raise ConfigError(f"{row.name} cannot be.")


def is_killed(row: PaperRow, seed: int, console: Console) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def breaks(row: PaperRow, seed: int, console: Console) -> Any:
    raise RuntimeError("something nobody thought of")


def goes_on(row: PaperRow, seed: int, console: Console) -> Any:
    console.print(f"pid {os.getpid()}.")
    time.sleep(600)


def jobs_of(*names: str, seeds: tuple[int, ...] = (0,)) -> dict[str, Job]:
    return {f"{name}, seed {seed}": (find_row(name), seed) for seed in seeds for name in names}


def test_a_process_that_dies_is_a_failure_and_the_others_go_on(tmp_path: Path) -> None:
    """Two at a time, and rows that are the same model one after the other."""
    jobs = jobs_of("I/m2a", "V/m2a", "V/tsm", "V/tea")
    what = iter((fine, is_killed, refuses, breaks))  # V/m2a waits for I/m2a
    events = list(
        run_side_by_side(jobs, 2, known=lambda _: None, next_run=lambda: next(what), logs=tmp_path)
    )  # fmt: skip
    at_work: set[str] = set()
    for event in events:
        at_work ^= {event.job}
        assert len(at_work) <= 2
        assert not {"I/m2a, seed 0", "V/m2a, seed 0"} <= at_work
    assert [event.job for event in events][:2] == ["I/m2a, seed 0", "V/tsm, seed 0"]
    ends = {event.job: event.answer for event in events if event.answer}
    assert sorted(ends) == sorted(jobs)
    assert ends["I/m2a, seed 0"] == (Path("I/m2a"), "I/m2a 0")
    assert "I/m2a on a process" in (tmp_path / "I-m2a-seed-0.log").read_text()
    assert "SIGKILL, as when the memory is full" in str(ends["V/tsm, seed 0"])
    dead = {str(answer): name for name, answer in ends.items() if name not in ("I/m2a, seed 0", "V/tsm, seed 0")}
    refused = next(name for text, name in dead.items() if text.endswith(" cannot be."))
    log = tmp_path / f"{refused.replace('/', '-').replace(', seed ', '-seed-')}.log"
    assert isinstance(ends[refused], ConfigError)
    assert log.read_text().strip() == f"error: {ends[refused]}"
    broken = next(text for text in dead if text.startswith("its process ended with exit code 1; the end of "))
    log = Path(broken.removeprefix("its process ended with exit code 1; the end of ").removesuffix(" may say why."))
    assert isinstance(ends[dead[broken]], M2AError)
    assert "RuntimeError: something nobody thought of" in log.read_text()


def test_what_is_known_takes_no_process(tmp_path: Path) -> None:
    jobs = jobs_of("I/m2a", "I/none")
    events = run_side_by_side(
        jobs, 1, known=lambda name: ConfigError(name), next_run=lambda: pytest.fail("started"), logs=tmp_path / "logs"
    )
    assert [(event.job, str(event.answer)) for event in events] == [(name, name) for name in jobs]
    assert not (tmp_path / "logs").exists()


def test_who_stops_leaves_no_process(tmp_path: Path) -> None:
    events = run_side_by_side(
        jobs_of("I/m2a"), 2, known=lambda _: None, next_run=lambda: goes_on, logs=tmp_path
    )  # fmt: skip
    pid = wait_for_pid(next(events).log)
    events.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def wait_for_pid(log: Path) -> int:
    for _ in range(600):
        text = log.read_text() if log.exists() else ""
        if text.endswith(".\n"):
            return int(text.split()[-1].rstrip("."))
        time.sleep(0.1)
    raise AssertionError(f"nothing in {log}")
