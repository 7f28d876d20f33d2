"""Ctrl-C and SIGTERM during training: what Lightning makes of them, made an end that says how to go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning as L

from m2a.ending import leaving_termination
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
            raise
        if before is not None and signal.getsignal(signal.SIGINT) != before:
            signal.signal(signal.SIGINT, before)
        raise KeyboardInterrupt("" if folder is None else how_to_go_on(folder)) from None
    if trainer.received_sigterm:  # after the last step, where Lightning does not look any more
        raise _terminated(folder)


def _is_interrupt(end: BaseException) -> bool:
    """Or somebody else's."""
    return isinstance(end, KeyboardInterrupt) or (
        isinstance(end, SystemExit) and isinstance(end.__context__, KeyboardInterrupt)
    )


def _terminated(folder: Path | None) -> Terminated:
    return Terminated("" if folder is None else how_to_go_on(folder))
