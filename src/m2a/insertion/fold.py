"""Between an image network's folded frames and a mechanism's clips. The only place that knows the frame count.

Shapes: N = B * T folded frames; views only, nothing is copied here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from m2a.errors import ClipShapeError
from m2a.insertion.sites import Layout, Position


@dataclass
class FrameCount:
    """T, shared by all sites of a model, so that setting it once sets it everywhere."""

    value: int


@dataclass
class SiteHook:
    """Applies `layer.mechanism` to what goes into (or comes out of) the layer it is registered on.

    It finds the mechanism on the layer that calls it rather than holding it, so that a deep copy of the model calls its
    own.
    """

    name: str
    layout: Layout
    frames: FrameCount

    def before(self, layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._apply(layer, args[0]), *args[1:])

    def after(self, layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return self._apply(layer, output)

    def register(self, layer: nn.Module, position: Position) -> None:
        if position == "before":
            layer.register_forward_pre_hook(self.before)
        else:
            layer.register_forward_hook(self.after)

    def _apply(self, layer: nn.Module, x: Tensor) -> Tensor:
        mechanism = layer.get_submodule("mechanism")
        if self.layout == "BCTHW":
            return mechanism(x.transpose(1, 2)).transpose(1, 2)
        num_frames = self.frames.value
        if x.shape[0] % num_frames:
            raise ClipShapeError(
                f"{x.shape[0]} frames came to {self.name!r}, which is not a multiple of num_frames = {num_frames}. "
                f"Fold whole clips into the batch, (B * {num_frames}, C, H, W), or set the clip length with "
                "m2a.insertion.set_num_frames(model, T)."
            )
        return mechanism(x.unflatten(0, (-1, num_frames))).flatten(0, 1)
