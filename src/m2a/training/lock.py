"""One process at a time goes on with a run."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from weakref import WeakSet

from m2a.errors import ConfigError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF}
_made: WeakSet[RunLock] = WeakSet()


class RunLock:
    """Keeps a run's folder to this process until it is closed.

    It is a lock of the system on `config.yaml`, so that nothing is left of it when the process is killed. Windows, and
    some file systems, have none: there a run is as unguarded as it would be without it.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        _made.add(self)

    @property
    def is_held(self) -> bool:
        return self._file is not None

    def take(self, folder: Path) -> None:
        """Of a run that has begun; does nothing where this lock is held already. Raises ConfigError where another
        process has it."""
        path = folder / "config.yaml"
        if self.is_held or not path.is_file():
            return
        file = path.open("rb+")
        try:
            if _locked(file):
                self._file = file
        except BlockingIOError as error:
            raise ConfigError(
                f"The run in {folder} is at work: another process, here or on another machine, has it. Wait until that "
                "one is done, or end it, and use --resume then; or name a new folder with --out."
            ) from error
        finally:
            if not self.is_held:
                file.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _locked(file: BinaryIO) -> bool:
    """Whether there are locks here. Raises BlockingIOError where another has it."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _let_go() -> None:
    """In a process that decodes: it would hold the lock for as long as it outlives the one that was killed."""
    for lock in list(_made):
        with suppress(OSError):
            lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
