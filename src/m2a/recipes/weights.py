"""Where training starts: random weights or ImageNet's. An axis of the results, as the scale and the data are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from m2a.errors import ConfigError, NotFoundError

Kind = Literal["random", "imagenet"]


@dataclass(frozen=True, kw_only=True)
class StartWeights:
    """The weights that training started from."""

    kind: Kind
    file: str | None = None
    """Name of the file they were read from; None for timm's own, downloaded."""
    sha256: str | None = None
    """The first 12 digits of the file's hash: what is in it cannot be told otherwise."""

    @property
    def tag(self) -> str:
        """What stands for them in names of files."""
        return "scratch" if self.kind == "random" else "imagenet"

    @property
    def group(self) -> tuple[str, ...]:
        """What results must have in common to stand in one table: a file's content, not its name."""
        return (self.kind, self.sha256 or "")

    def __str__(self) -> str:
        if self.kind == "random":
            return "random weights"
        return "ImageNet weights" + (f" ({self.file}, sha256 {self.sha256})" if self.file else "")


def start_weights(pretrained: str) -> StartWeights:
    """What the option `pretrained` stands for. A file is taken to hold ImageNet weights. Raises NotFoundError."""
    if pretrained == "none":
        return StartWeights(kind="random")
    if pretrained == "imagenet":
        return StartWeights(kind="imagenet")
    path = Path(pretrained)
    if path.is_dir():
        raise ConfigError(
            f"{path} is a folder. Rows of the paper start from image weights, so that they can be set beside each "
            "other: give --pretrained imagenet, none, or the path of a file. From a trained model starts m2a train."
        )
    if not path.is_file():
        raise NotFoundError(f"There is no checkpoint {path}. Give --pretrained imagenet, none, or the path of a file.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return StartWeights(kind="imagenet", file=path.name, sha256=digest)
