"""What was found out already, in a file that grows clip by clip, so that a check can be interrupted and go on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..shards import find_in_shard
from .facts import ClipFacts, frame_names


@dataclass(frozen=True)
class Fingerprint:
    """What changes when a clip does: its bytes on disk and when they were last written."""

    size: int
    modified: int
    """Nanoseconds."""


def fingerprint(path: Path) -> Fingerprint:
    """Of a file, or of all frames of a folder. Raises OSError where there is neither."""
    parts = None if path.exists() else find_in_shard(path)
    if parts:
        return Fingerprint(sum(part.size for part in parts), parts[0].file.stat().st_mtime_ns)
    if not path.is_dir():
        status = path.stat()
        return Fingerprint(status.st_size, status.st_mtime_ns)
    statuses = [(path / name).stat() for name in frame_names(path)]
    latest = max([path.stat().st_mtime_ns, *(status.st_mtime_ns for status in statuses)])
    return Fingerprint(sum(status.st_size for status in statuses), latest)


class Records:
    """A file of JSON lines, one a clip. `quick` facts do not count where all frames are to be decoded."""

    def __init__(self, path: Path | None, *, resume: bool = True) -> None:
        self.path = path
        self._known: dict[tuple[str, Fingerprint], dict[str, Any]] = {}
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if resume and path.is_file():
            self._read(path)
        else:
            path.write_text("", encoding="utf-8")

    def find(self, clip: Path, mark: Fingerprint, *, quick: bool) -> ClipFacts | None:
        """What is known of a clip as it is on disk now, or None."""
        record = self._known.get((str(clip.absolute()), mark))
        if record is None or (record["quick"] and not quick):
            return None
        try:
            return ClipFacts.from_dict(record["facts"])
        except TypeError:
            return None  # another version wrote it

    def add(self, clip: Path, mark: Fingerprint, facts: ClipFacts, *, quick: bool) -> None:
        """Writes a line, whole and at once."""
        if self.path is None:
            return
        record = {"path": str(clip.absolute()), "size": mark.size, "modified": mark.modified, "quick": quick}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**record, "facts": facts.to_dict()}) + "\n")

    def _read(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        for line in text.split("\n"):
            try:
                record = json.loads(line)
                key = (record["path"], Fingerprint(record["size"], record["modified"]))
                record["quick"], record["facts"]
            except (ValueError, KeyError, TypeError):
                continue  # the line that was being written when the check was interrupted
            self._known[key] = record
        if text and not text.endswith("\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")
