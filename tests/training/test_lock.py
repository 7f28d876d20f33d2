"""Two processes never go on with one run; of a process that was killed nothing stays behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_runs import last, options, silent

from m2a.data import ClipSet, read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import ConfigError
from m2a.training import fit
from m2a.training.lock import RunLock
from m2a.workflows.run import train

AT_WORK = r"The run in .*run is at work: another process, .* Wait until that one is done, or end it, and use --resume"
HOLD = """
import os, sys
from pathlib import Path
from m2a.training.lock import RunLock

lock = RunLock()
lock.take(Path(sys.argv[1]))
begun, begin = os.pipe()
child = os.fork()
if child:
    os.read(begun, 1)  # it may be a while until its turn comes
    print(child, flush=True)
else:
    os.write(begin, b".")
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    root = tmp_path_factory.mktemp("set") / "frames"
    synthesize(root, classes=2, num_train=4, num_validation=2, size=24, num_frames=5, workers=1, progress=False)
    return read_clips(root)


@pytest.fixture
def run(clips: ClipSet, tmp_path: Path) -> Path:
    fit(options(clips, tmp_path / "run", epochs=1), clips, console=silent())
    return tmp_path / "run"


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the run, and has started another one, as for decoding."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process
        finally:
            process.kill()
            os.kill(child, signal.SIGKILL)


def test_a_run_that_another_process_is_at_work_on_is_left_alone(clips: ClipSet, run: Path) -> None:
    """Until that one is killed, whatever becomes of the processes that it has started."""
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with held_elsewhere(run) as process:
        with pytest.raises(ConfigError, match=AT_WORK):
            fit(options(clips, run, resume=True), clips, console=silent())
        with pytest.raises(ConfigError, match=AT_WORK):
            train(options(clips.root / "gone", run, resume=True), console=silent())  # before data is read
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
        process.kill()
        process.wait()
        fit(options(clips, run, resume=True), clips, console=silent())
    assert last(run)["epoch"] == 1


def test_a_run_is_kept_to_its_process_from_its_first_step_on(clips: ClipSet, tmp_path: Path) -> None:
    """And until the caller's lock is closed: a run's evaluation belongs to it."""
    with RunLock() as lock:
        fit(options(clips, tmp_path / "run", epochs=1), clips, console=silent(), lock=lock)
        with pytest.raises(ConfigError, match=AT_WORK):
            fit(options(clips, tmp_path / "run", resume=True), clips, console=silent())
    fit(options(clips, tmp_path / "run", resume=True), clips, console=silent())
    assert last(tmp_path / "run")["epoch"] == 1


def test_a_run_that_has_not_begun_has_no_lock(tmp_path: Path) -> None:
    with RunLock() as lock:
        lock.take(tmp_path / "run")
        assert not lock.is_held


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.EBADF])
def test_file_systems_without_locks_are_no_obstacle(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a run is as unguarded as without a lock."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    (tmp_path / "config.yaml").touch()
    with RunLock() as lock:
        lock.take(tmp_path)
        assert not lock.is_held


def test_other_errors_of_the_system_are_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", refuse)
    (tmp_path / "config.yaml").touch()
    with RunLock() as lock, pytest.raises(OSError, match=os.strerror(errno.EIO)):
        lock.take(tmp_path)
