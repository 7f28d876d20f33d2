"""What a check found, as plain values, and the files it is written to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..clipset import ClipFile, ClipSet
from ..skip_list import listed_path
from .facts import ClipFacts
from .files import NEW_SKIP_LIST, SKIP_LIST, digest, write_files

Severity = Literal["error", "warning", "information"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "information")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing worth knowing about a clip, or about the set."""

    kind: str
    severity: Severity
    """An `error` is what training or measuring would stop at or be wrong by."""
    why: str
    """In one line."""
    clip: str = ""
    """The clip's id; empty where it is about the set."""
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """All that a check found out."""

    clips: ClipSet
    facts: Mapping[Path, ClipFacts]
    """By the path of the clip."""
    findings: tuple[Finding, ...]
    quick: bool
    """Frames were counted and not decoded."""
    num_reused: int = 0
    """Clips that an earlier check had looked at."""

    @property
    def num_clips(self) -> int:
        return sum(len(members) for members in self.clips.splits.values())

    @property
    def has_errors(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)

    def by_kind(self) -> dict[str, list[Finding]]:
        """Findings by their kind, errors first."""
        kinds: dict[str, list[Finding]] = {}
        for finding in sorted(self.findings, key=lambda finding: SEVERITIES.index(finding.severity)):
            kinds.setdefault(finding.kind, []).append(finding)
        return kinds

    def class_counts(self) -> dict[str, dict[str, int]]:
        """Clips of each label in each split."""
        counts = {name: Counter(clip.label for clip in members) for name, members in self.clips.splits.items()}
        return {label: {name: counts[name][label] for name in counts} for label in self.clips.labels}

    def totals(self) -> dict[str, dict[str, int | float]]:
        """Of each split: clips, frames, and seconds, where the files say how long they last."""
        return {
            name: _total([self.facts[clip.path].of(clip.window) for clip in members])
            for name, members in self.clips.splits.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """What `check.json` holds."""
        severities = Counter(finding.severity for finding in self.findings)
        return {
            "schema": 1,
            "root": str(self.clips.root),
            "resolved_root": str(self.clips.root.resolve()),
            "format": self.clips.format,
            "quick": self.quick,
            "num_clips": self.num_clips,
            "totals": self.totals(),
            "notes": list(self.clips.notes),
            "counts": {severity: severities[severity] for severity in SEVERITIES},
            "kinds": {kind: len(found) for kind, found in self.by_kind().items()},
            "classes": self.class_counts(),
            "findings": [asdict(finding) for finding in self.findings],
            "skip_list_sha256": digest(self._skip_bytes()),
        }

    def skip_list(self) -> str:
        """The text of `skip.txt`: the clips with errors, each below its reasons."""
        clips = {clip.id: clip for members in self.clips.splits.values() for clip in members}
        reasons: dict[str, list[str]] = {}
        for finding in self.findings:
            if finding.severity == "error" and finding.clip:
                clip = clips[finding.clip]
                only_it = clip.window is not None and not self.facts[clip.path].fault  # others of the file are good
                entry = clip.id if only_it else listed_path(clip, self.clips.root)
                reasons.setdefault(entry, []).append(f"{finding.kind}: {finding.why}")
        root = " ".join(str(self.clips.root).splitlines())
        head = f"# Clips of {root} with errors, for m2a train --skip-list and m2a evaluate --skip-list.\n\n"
        return head + "".join(
            "".join(f"# {' '.join(why.split())}\n" for why in dict.fromkeys(whys)) + f"{entry}\n"
            for entry, whys in sorted(reasons.items())
        )

    def write(self, folder: str | Path) -> None:
        """Writes `check.json` and `skip.txt`; where `skip.txt` is no longer what the last check wrote, it stays as it
        is, and `skip-new.txt` is written."""
        write_files(Path(folder), self.to_dict(), self._skip_bytes())

    def skip_file(self, folder: str | Path) -> Path:
        """The file that `write` put the skip list into: `skip.txt`, or `skip-new.txt`."""
        path = Path(folder) / SKIP_LIST
        return path if path.read_bytes() == self._skip_bytes() else path.with_name(NEW_SKIP_LIST)

    def _skip_bytes(self) -> bytes:
        return self.skip_list().encode("utf-8", "surrogateescape")


def finding_of(clip: ClipFile, kind: str, severity: Severity, why: str) -> Finding:
    """A finding about one clip."""
    return Finding(kind=kind, severity=severity, why=why, clip=clip.id, path=str(clip.path))


def _total(facts: list[ClipFacts]) -> dict[str, int | float]:
    return {
        "clips": len(facts),
        "frames": sum(fact.num_frames or 0 for fact in facts),
        "seconds": round(sum(fact.seconds or 0.0 for fact in facts), 2),
        "clips_with_seconds": sum(fact.seconds is not None for fact in facts),
    }
