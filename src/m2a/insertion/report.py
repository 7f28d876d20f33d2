"""What an insertion did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class InsertionReport:
    """Which layers of a model carry which mechanism. `print(report)` reads as a sentence or two."""

    mechanism: str
    """The spec, in its shortest spelling."""
    num_frames: int
    sites: list[str]
    """Names of the layers, in the model's order."""
    channels: list[int]
    """Channels at each site."""
    layouts: list[str]
    """How features lie at each site: "NCHW" or "NHWC" for maps of folded frames, "BCTHW" or "BTHWC" in a 3D network,
    "NLC" for tokens, "NLC+1" with a class token in front, "NLC+1+4" with four more behind."""
    position: str
    """"before" or "after" the layer."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Candidates that were left out, with the reason."""
    parameters_before: int
    parameters_added: int

    def __str__(self) -> str:
        where = self.sites[0] if len(self.sites) == 1 else f"{self.sites[0]} ... {self.sites[-1]}"
        candidates = len(self.sites) + len(self.skipped)
        share = self.parameters_added / max(self.parameters_before, 1)
        text = (
            f'inserted "{self.mechanism}" {self.position} {len(self.sites)} of {candidates} sites ({where}), '
            f"{self.num_frames} frames, +{self.parameters_added / 1e6:.2f} M parameters ({share:+.1%})"
        )
        for reason, count in Counter(self.skipped.values()).items():
            text += f"\n  left out {count}: {reason}"
        return text
