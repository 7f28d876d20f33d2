"""Ctrl-C during training: what Lightning makes of it, made a KeyboardInterrupt again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from m2a.training.resuming import how_to_go_on


@contextmanager
def interruptible(folder: Path | None = None) -> Iterator[None]:
    """Raises KeyboardInterrupt where training was interrupted, with how to go on with the run in `folder`, if there
    is one. Lightning exits instead, as after an error, and has the process ignore Ctrl-C from then on."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and not isinstance(end.__context__, KeyboardInterrupt):
            raise  # somebody else's
        if before is not None and signal.getsignal(signal.SIGINT) != before:
            signal.signal(signal.SIGINT, before)
        raise KeyboardInterrupt("" if folder is None else how_to_go_on(folder)) from None
