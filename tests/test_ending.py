"""Commands that are ended by a signal: what is said, and that neither processes nor partial files stay behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from m2a.ending import leaving_termination, terminated_in_order
from m2a.errors import Terminated

PATIENCE = 60.0


@pytest.fixture
def drawing(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A command at work with two processes, on more clips than it will get to draw."""
    words = ("data", "synthesize", tmp_path / "set", "--num-train", "9001", "--workers", "2")
    process = subprocess.Popen(
        [sys.executable, "-m", "m2a", *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        until = time.monotonic() + PATIENCE
        while not any(tmp_path.glob(".set.partial-*/*/*/*.jpg")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.communicate()


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = psutil.Process(process.pid).children(recursive=True)
    assert len(found) >= 2
    return found


@pytest.mark.parametrize(
    ("number", "to_all", "code", "message"),
    [
        (signal.SIGTERM, False, 143, "error: Asked to end (SIGTERM)."),
        (signal.SIGTERM, True, 143, "error: Asked to end (SIGTERM)."),
        (signal.SIGINT, True, 130, "error: Interrupted."),
    ],
)
def test_a_command_that_is_asked_to_end_leaves_nothing(
    drawing: subprocess.Popen[str], tmp_path: Path, number: signal.Signals, to_all: bool, code: int, message: str
) -> None:
    workers = workers_of(drawing)
    (os.killpg if to_all else os.kill)(drawing.pid, number)  # a terminal and a scheduler mean the workers, too
    _, said = drawing.communicate(timeout=PATIENCE)
    assert (drawing.returncode, said.splitlines()[-1]) == (code, message)
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []


def test_workers_end_with_a_command_that_is_killed(drawing: subprocess.Popen[str]) -> None:
    workers = workers_of(drawing)
    drawing.kill()
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []


def test_the_signal_is_an_exception_and_then_what_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert before == signal.SIG_DFL
    with pytest.raises(Terminated) as end, terminated_in_order():
        signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


def test_who_handles_it_already_goes_on_to() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with terminated_in_order(), leaving_termination():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_a_block_that_handles_it_itself() -> None:
    with terminated_in_order():
        ours = signal.getsignal(signal.SIGTERM)
        with leaving_termination():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is ours
