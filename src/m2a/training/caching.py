"""Where the decoded clips of a run are kept, and what is said about it."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from m2a.data.cache import MEMORY, ClipCache
from m2a.data.class_folders import refuse_inside
from m2a.data.clipset import ClipSet
from m2a.data.parts import readable
from m2a.errors import CacheError, ConfigError
from m2a.training.config import TrainConfig


@contextmanager
def opened_cache(
    config: TrainConfig, clips: ClipSet, short_side: int, console: Console, *, shared_bytes: int = 0
) -> Iterator[ClipCache | None]:
    """The cache that a run asks for, with a line about it; one in memory is removed at the end, whatever happens. In
    memory, the run takes `shared_bytes` too.

    Raises ConfigError where there is no shared memory or the folder that is named lies among class folders, and
    CacheError where there is too little space.
    """
    if config.cache == "none":
        yield None
        return
    if config.cache_folder is not None:
        refuse_inside(clips, config.cache_folder, "name one with --cache-folder")
    folder = _in_memory() if config.cache == "ram" else config.cache_folder or default_folder(clips.root)
    try:
        cache = ClipCache(folder)
        members = [*clips.split("train"), *clips.split("validation")]
        beside = shared_bytes if config.cache == "ram" else 0
        held = cache.prepare(members, decoder=config.decoder, short_side=short_side, beside=beside)
        life = "it is removed at the end" if config.cache == "ram" else "it may be deleted when no run uses it"
        console.print(
            Text(f"cache of decoded clips: {folder}, {held.num_clips:,} clips, {readable(held.num_bytes)}; {life}"),
            soft_wrap=True,
        )
        yield cache
    finally:
        if config.cache == "ram":
            _remove(folder)


def default_folder(root: Path) -> Path:
    """`.m2a-cache` beside the data set, or below the user's cache directory where that cannot be written."""
    beside = root.resolve().parent / ".m2a-cache"
    if _is_writable(beside):
        return beside
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "m2a" / "clips"
    if _is_writable(own):
        return own
    raise CacheError(f"Neither {beside} nor {own} can be written. Name a folder with --cache-folder.")


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _in_memory() -> Path:
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        raise ConfigError(f"cache=ram needs {MEMORY}, and there is none here that can be written. Use --cache disk.")
    return Path(tempfile.mkdtemp(prefix="m2a-cache-", dir=MEMORY))


def _remove(folder: Path) -> None:
    """Under another name first, so that a worker that still runs writes nothing into it."""
    gone = folder.with_name(f"{folder.name}-{secrets.token_hex(4)}")
    try:
        os.rename(folder, gone)
    except OSError:
        gone = folder
    shutil.rmtree(gone, ignore_errors=True)
