"""What an import did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Unplaced:
    """A part of the source's network that has no counterpart here."""

    part: str
    why: str
    keys: tuple[str, ...]
    """Its keys in the file."""

    def __str__(self) -> str:
        more = f" and {len(self.keys) - 1} more" if len(self.keys) > 1 else ""
        return f"{self.part} ({self.keys[0]}{more}): {self.why}"


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What of a checkpoint was placed, what it did not tell, and what has no place. `print(report)` reads as lines."""

    source: str
    backbone: str
    mechanism: str
    sites: int
    num_frames: int
    num_classes: int
    placed: int
    """Tensors of the file that the model holds."""
    unplaced: tuple[Unplaced, ...] = ()
    assumed: tuple[str, ...] = ()
    """What the file does not say, and was taken to be so."""
    notes: tuple[str, ...] = ()
    """In what the model differs from the source's, or what was changed on the way."""

    @property
    def complete(self) -> bool:
        """Whether every part of the source's network has its place."""
        return not self.unplaced

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        unplaced = [{"part": left.part, "why": left.why, "keys": list(left.keys)} for left in self.unplaced]
        same = ("source", "backbone", "mechanism", "sites", "num_frames", "num_classes", "placed")
        return {name: getattr(self, name) for name in same} | {
            "complete": self.complete,
            "unplaced": unplaced,
            "assumed": list(self.assumed),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        at = f" at {self.sites} sites" if self.sites else ""
        lines = [
            f'{self.source}: {self.backbone} with "{self.mechanism}"{at}, {self.num_frames} frames, '
            f"{self.num_classes} classes; {self.placed} tensors placed"
        ]
        lines += [f"  assumed: {text}" for text in self.assumed]
        lines += [f"  note: {text}" for text in self.notes]
        lines += [f"  left out: {left}" for left in self.unplaced]
        if self.unplaced:
            lines.append(f"  {consequence(self.mechanism)}")
        return "\n".join(lines)


def consequence(mechanism: str) -> str:
    """What it means that parts were left out."""
    what = 'the image backbone alone ("none")' if mechanism == "none" else f'"{mechanism}" without these parts'
    return f"the result is {what}; it is not the source's network and will not have its accuracy"
