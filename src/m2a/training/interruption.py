"""Ctrl-C and SIGTERM during training: what Lightning makes of them, made an end that says how to go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning as L

from m2a.ending import DISK_FULL, leaving_termination
from m2a.errors import Terminated
from m2a.training.resuming import how_to_go_on


@contextmanager
def interruptible(trainer: L.Trainer, folder: Path | None = None) -> Iterator[None]:
    """Raises KeyboardInterrupt where training was interrupted by Ctrl-C, and Terminated where it was by SIGTERM (of
    `docker stop`, of a scheduler), with how to go on with the run in `folder`, if there is one. Lightning exits
    instead, as after an error and as after success, and has the process ignore Ctrl-C from then on."""
    before = signal.getsignal(signal.SIGINT)
    try:
        with leaving_termination():
            yield
    except BaseException as end:
        if trainer.received_sigterm:  # which a scheduler sends to the processes that decode, too
            raise _terminated(folder) from None
        if not _is_interrupt(end):
            _note_a_full_disk(end, folder)
            raise
        if before is not None and signal.getsignal(signal.SIGINT) != before:
            signal.signal(signal.SIGINT, before)
        raise KeyboardInterrupt("" if folder is None else how_to_go_on(folder)) from None
    if trainer.received_sigterm:  # after the last step, where Lightning does not look any more
        raise _terminated(folder)


@contextmanager
def saying_how_to_go_on(folder: Path) -> Iterator[None]:
    """What comes behind training, which ends with how to go on too: of Ctrl-C, of SIGTERM and of a full disk."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(how_to_go_on(folder)) from None
    except Terminated:
        raise _terminated(folder) from None
    except OSError as error:
        _note_a_full_disk(error, folder)
        raise


def _note_a_full_disk(error: BaseException, folder: Path | None) -> None:
    if isinstance(error, OSError) and error.errno in DISK_FULL and folder is not None:
        error.add_note(f"Make room where {folder} is. {how_to_go_on(folder)}".strip())


def _is_interrupt(end: BaseException) -> bool:
    """Or somebody else's."""
    return isinstance(end, KeyboardInterrupt) or (
        isinstance(end, SystemExit) and isinstance(end.__context__, KeyboardInterrupt)
    )


def _terminated(folder: Path | None) -> Terminated:
    return Terminated("" if folder is None else how_to_go_on(folder))
