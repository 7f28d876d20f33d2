"""How processes end: of SIGTERM in order, so that nothing half done stays, and workers with whoever started them."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait
from types import FrameType
from typing import NoReturn

from .errors import Terminated

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Of an OSError that says that there is no room left."""


@contextmanager
def terminated_in_order() -> Iterator[None]:
    """Raises Terminated at SIGTERM (of `kill`, of `docker stop`, of a scheduler), so that worker processes are ended
    and partial files removed as after any error. A second one ends the process at once. Where somebody handles the
    signal already, and outside the main thread, all stays as it is."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def leaving_termination() -> Iterator[None]:
    """Takes back `terminated_in_order` for a block that handles SIGTERM itself, at a moment of its own choice."""
    ours = signal.getsignal(signal.SIGTERM) is _terminate
    if ours:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, _terminate)


def _terminate(_: int, __: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Has a process that is started ignore Ctrl-C, which a terminal sends to all of them: this one ends the others."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_with_the_parent() -> None:
    """Called in a worker process, has it end when the process that started it is gone, killed or otherwise: it would
    wait for work for ever."""
    threading.Thread(target=_watch_the_parent, daemon=True).start()


def _watch_the_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
