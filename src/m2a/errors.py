"""What can go wrong, by name.

Every error of this library is an `M2AError`, and also the builtin a caller would expect (`ValueError`,
`TypeError`, `FileNotFoundError`). A message says what we got, what is allowed, and what to do next; at the command
line it is printed alone, without a traceback.
"""

from __future__ import annotations

from pathlib import Path


class M2AError(Exception):
    """Base of every error this library raises on purpose."""


class SpecError(M2AError, ValueError):
    """A mechanism's name or options cannot be understood."""


class ClipShapeError(M2AError, ValueError):
    """A clip of features or frames has the wrong rank, channels or length."""


class InsertionError(M2AError, ValueError):
    """A mechanism cannot be placed where it was asked for."""


class NoSitesError(InsertionError):
    """No layer of the model matched, so there is nowhere to insert."""


class SiteTypeError(InsertionError, TypeError):
    """A layer was named that cannot carry a mechanism."""


class AlreadyInsertedError(InsertionError):
    """The model carries mechanisms already."""


class WrappedModelError(InsertionError):
    """The model is compiled, scripted, wrapped for several devices, or has no weights yet, and so cannot be changed."""


class NotInsertedError(InsertionError):
    """The model carries no mechanism, so there is none to remove or change."""


class ConfigError(M2AError, ValueError):
    """An option has a value, or is combined in a way, that cannot work."""


class CheckpointError(M2AError, ValueError):
    """Weights do not fit the model they were meant for, or the file is damaged."""


class ExportError(M2AError, ValueError):
    """A model cannot be written as a file that runs without this library, or does not give the same from it."""


class NotFoundError(M2AError, FileNotFoundError):
    """A file or folder that was named does not exist."""


class WeightsUnavailableError(M2AError, OSError):
    """Pretrained weights were asked for and could not be fetched."""


class DataError(M2AError, ValueError):
    """A data set's layout, labels or splits are not what they should be."""


class CacheError(DataError):
    """The cache of decoded clips cannot be written: the disk or the memory is too small, or the folder is gone."""


class UnreadableClipError(DataError):
    """One clip cannot be decoded. `path` names it, `reason` says why in one line."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableClipError], tuple[Path, str]]:
        return type(self), (self.path, self.reason)  # survives the trip back from a worker process


class DivergedError(M2AError, ArithmeticError):
    """Numbers are lost: weights in training, or scores that a model gives, are nan or infinite."""


class Terminated(SystemExit):
    """Asked to end by SIGTERM. Training says how to go on; where nobody catches it the exit code is 143."""

    def __init__(self, message: str = ""):
        super().__init__(message)
        self.code = 143


def first_line(error: Exception) -> str:
    """Of its message the first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
