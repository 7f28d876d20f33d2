"""One process at a time goes on with a run."""

from __future__ import annotations

import errno
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import BaseFileLock, FileLock, Timeout

from m2a.errors import ConfigError

LOCK = ".lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF}


class RunLock:
    """Keeps a run's folder to this process until it is closed.

    It is a lock of the system on an empty file in the folder: of a process that was killed nothing keeps others out,
    not even the processes that it has started. On file systems without locks a run is as unguarded as without it.
    """

    def __init__(self) -> None:
        self._lock: BaseFileLock | None = None

    @property
    def is_held(self) -> bool:
        return self._lock is not None

    def take(self, folder: Path) -> None:
        """Of a run that has begun; does nothing where this lock is held already. Raises ConfigError where another
        process has it."""
        if self.is_held or not (folder / "config.yaml").is_file():
            return
        lock = FileLock(folder / LOCK, timeout=0, thread_local=False, preserve_lock_file=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise ConfigError(
                f"The run in {folder} is at work: another process, here or on another machine, has it. Wait until that "
                "one is done, or end it, and use --resume then; or name a new folder with --out."
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        else:
            self._lock = lock

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
