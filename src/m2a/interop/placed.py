"""What a checkpoint of another project holds, under our names, and what it tells of its network."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from torch import Tensor

from m2a.errors import CheckpointError
from m2a.interop.report import Unplaced

_BLOCKS = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
    ("bottleneck", (3, 8, 36, 3)): "resnet152",
    ("res2net", (3, 4, 6, 3)): "res2net50_26w_4s",
    ("res2net", (3, 4, 23, 3)): "res2net101_26w_4s",
}


@dataclass(kw_only=True)
class Placed:
    """A checkpoint's tensors under this library's names, and what they tell."""

    source: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """State of a `VideoClassifier`: `backbone.*`, `backbone.<layer>.mechanism.*`, `head.*`."""
    unplaced: tuple[Unplaced, ...] = ()
    mechanism: str | None = "none"
    """The spec that the keys tell, but for `stacked`; None for a gate whose weights do not tell what it holds."""
    stacked: bool = False
    """Whether a shift follows the gate: "...+tsm"."""
    sites: tuple[str, ...] = ()
    """Layers of the backbone that carry the mechanism."""
    dropout: bool = True
    """Whether the head was trained behind dropout: apart from the network, or the I3D's."""
    online: bool = False
    """Whether it is TSM's network for streams, whose shift takes from the frame before alone."""
    folded: int = 0
    """Biases of convolutions that went into the batch norm behind them."""

    @property
    def num_classes(self) -> int:
        """Rows of the head. Raises CheckpointError when the file has no head."""
        if "head.weight" not in self.tensors:
            raise CheckpointError(
                "The checkpoint has no head: new_fc.weight, or fc.weight or classifier.weight of the network, was "
                "expected. Is it cut down to the backbone?"
            )
        return self.tensors["head.weight"].shape[0]

    @property
    def inflated(self) -> bool:
        """Whether the network is a 3D one."""
        stem = self.tensors.get("backbone.conv1.weight")
        return stem is not None and stem.ndim == 5

    @property
    def num_frames(self) -> int | None:
        """T, where weights have it in their shape (TAM); the later stages of a 3D network have less."""
        return max((shape[1] for shape in self._shapes("kernel_branch.0.weight")), default=None)

    @property
    def reduction(self) -> int:
        """R of the gates, 8 where there is none. Raises CheckpointError when no one R makes them all."""
        shapes = self._shapes("mechanism.reduce.weight") or self._shapes("mechanism.0.reduce.weight")
        if not shapes:
            return 8
        for reduction in range(1, shapes[0][1] + 1):
            if all(shape[1] // reduction == shape[0] for shape in shapes):
                return reduction
        raise CheckpointError("The gates reduce their channels by different factors; a model here has one for all.")

    @property
    def beta(self) -> int:
        """By what TAM on all channels divides them in its importance branch."""
        inner, channels = self._shapes("importance_branch.0.weight")[0][:2]
        return channels // inner

    @property
    def backbone(self) -> str:
        """timm's name of the network, from its blocks. Raises CheckpointError when it is none that is known."""
        names = [key.removeprefix("backbone.") for key in self.tensors]
        if "conv_stem.weight" in names:
            return "mobilenetv2_100"
        kind = "bottleneck" if "layer1.0.conv3.weight" in names else "basic"
        kind = "res2net" if "layer1.0.convs.0.weight" in names else kind
        found = {match.groups() for name in names if (match := re.match(r"layer(\d)\.(\d+)\.", name))}
        blocks = tuple(sum(stage == wanted for stage, _ in found) for wanted in "1234")
        if (kind, blocks) not in _BLOCKS:
            raise CheckpointError(
                f"The network has {', '.join(map(str, blocks))} {kind} blocks in its four stages, which none of "
                f"{', '.join(_BLOCKS.values())} and mobilenetv2_100 has. If timm has it, name it with backbone=."
            )
        return _BLOCKS[kind, blocks]

    def _shapes(self, suffix: str) -> list[tuple[int, ...]]:
        return [tuple(value.shape) for key, value in self.tensors.items() if key.endswith(suffix)]
